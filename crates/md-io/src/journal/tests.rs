use super::*;
use proptest::prelude::*;
use tempfile::TempDir;

type Written = Vec<(String, Vec<u8>)>;

fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("campaign.journal");
    (folder, path)
}

fn borrowed(records: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    records.iter().map(|(name, payload)| (name.as_str(), payload.as_slice())).collect()
}

/// Returns the range of each of these records in a file that contains them in order.
fn places(records: &[(String, Vec<u8>)]) -> Vec<Range<usize>> {
    let mut end = HEADER.len();
    let frame = |(name, payload): &(String, Vec<u8>)| {
        let start = end;
        end += HEAD_BYTES + name.len() + payload.len();
        start..end
    };
    records.iter().map(frame).collect()
}

/// Returns the records for which `untouched` is true, the last of each name.
fn kept(records: &Written, untouched: impl Fn(&Range<usize>) -> bool) -> BTreeMap<String, Vec<u8>> {
    let places = places(records);
    records
        .iter()
        .zip(&places)
        .filter(|(_, place)| untouched(place))
        .map(|(record, _)| record.clone())
        .collect()
}

fn all(records: &[(String, Vec<u8>)]) -> BTreeMap<String, Vec<u8>> {
    records.iter().cloned().collect()
}

/// Returns the bytes of a journal with these records.
fn file_of(records: &Written) -> Vec<u8> {
    [HEADER, &frames(HEADER.len() as u64, &borrowed(records)).unwrap()].concat()
}

/// Opens a file with these bytes; returns the recovered records and the bytes of the file afterwards.
fn open(path: &Path, bytes: &[u8]) -> (Result<Recovered, JournalError>, Vec<u8>) {
    fs::write(path, bytes).unwrap();
    let recovered = Journal::open(path).map(|(_, recovered)| recovered);
    (recovered, fs::read(path).unwrap())
}

/// Checks that recovered records remain and that an appended record is found next to them.
fn append_and_open_again(path: &Path, before: &Recovered) {
    let (mut journal, again) = Journal::open(path).unwrap();
    assert_eq!(again, Recovered { cut_bytes: 0, ..before.clone() });
    journal.append(&[("appended later", b"payload")]).unwrap();
    assert_eq!(journal.length(), fs::metadata(path).unwrap().len());
    drop(journal);
    let (_, mut again) = Journal::open(path).unwrap();
    assert_eq!(again.records.remove("appended later").as_deref(), Some(b"payload".as_slice()));
    assert_eq!(again, Recovered { cut_bytes: 0, ..before.clone() });
}

/// Few names, so that some are repeated; some payloads are parts of other journals, with other offsets.
fn records() -> impl Strategy<Value = Written> {
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    let payload = prop_oneof![
        4 => bytes.clone(),
        1 => (0_usize..80).prop_map(|n| vec![0; n]),
        1 => prop::collection::vec(Just(MARKER.to_vec()), 1..4).prop_map(|markers| markers.concat()),
        1 => (0..(HEADER.len() + HEAD_BYTES) as u64, bytes.clone())
            .prop_map(|(at, bytes)| frames(at, &[("inner", &bytes)]).unwrap()),
        1 => bytes.prop_map(|bytes| file_of(&vec![("a".into(), bytes)])),
    ];
    prop::collection::vec(("[a-cé]{0,2}", payload), 0..8)
}

#[test]
fn journal_open_returns_last_record_of_each_name() {
    let (_folder, path) = new_path();
    let mut journal = Journal::create(&path).unwrap();
    journal.append(&[("water/300 K", b"first"), ("", b"")]).unwrap();
    journal.append(&[]).unwrap();
    journal.append(&[("water/300 K", b"second"), ("Ä", &[0; 1000])]).unwrap();
    assert_eq!((journal.path(), journal.length()), (path.as_path(), fs::metadata(&path).unwrap().len()));
    drop(journal);
    let (_, recovered) = Journal::open(&path).unwrap();
    let expected = [("water/300 K", b"second".to_vec()), ("", Vec::new()), ("Ä", vec![0; 1000])]
        .map(|(n, p)| (n.into(), p));
    assert_eq!(recovered, Recovered { records: BTreeMap::from(expected), ..Recovered::default() });
}

#[test]
fn journal_bytes_match_documented_format() {
    let payload = b"payload";
    let numbers = [18_u64.to_le_bytes().as_slice(), &4_u32.to_le_bytes(), &7_u64.to_le_bytes()].concat();
    let hash = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
    let expected = [
        b"mdproof journal 1\n\x89mdrec1\n".as_slice(),
        &numbers[8..],
        &hash(&numbers)[..8],
        &hash(&[&numbers, b"name".as_slice(), payload].concat()),
        b"name",
        payload,
    ];
    assert_eq!(file_of(&vec![("name".into(), payload.to_vec())]), expected.concat());
}

#[test]
fn journal_create_refuses_existing_file() {
    let (folder, path) = new_path();
    fs::write(&path, "").unwrap();
    assert!(matches!(Journal::create(&path), Err(JournalError::Exists { .. })));
    let absent = folder.path().join("absent/campaign.journal");
    for error in [Journal::create(&absent).unwrap_err(), Journal::open(&absent).unwrap_err()] {
        assert!(matches!(error, JournalError::Open { .. }), "{error}");
        assert!(error.to_string().contains("absent/campaign.journal"), "{error}");
    }
}

#[test]
fn journal_is_locked_by_one_writer() {
    let (_folder, path) = new_path();
    let first = Journal::create(&path).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::InUse { .. })));
    drop(first);
    let (second, _) = Journal::open(&path).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::InUse { .. })));
    drop(second);
    Journal::open(&path).unwrap();
}

#[test]
fn journal_open_leaves_foreign_files_untouched() {
    let (_folder, path) = new_path();
    let record = ("a".to_owned(), b"payload".to_vec());
    // A complete record as in an archive, at another offset.
    let archived = [vec![0; 512].as_slice(), &file_of(&vec![record]), &[0; 512]].concat();
    for bytes in
        [b"x".as_slice(), b"mdproof journal one\n", b"{\"schema_version\": 1}\n", &[0; 19], &archived]
    {
        let (result, after) = open(&path, bytes);
        assert!(matches!(result, Err(JournalError::NotAJournal { .. })), "{result:?}");
        assert_eq!(after, bytes);
    }
    let newer = b"mdproof journal 12\nwhatever follows";
    let (result, after) = open(&path, newer);
    let message = result.unwrap_err().to_string();
    assert!(
        message.ends_with("campaign.journal has version 12 of the format (expected version 1)"),
        "{message}"
    );
    assert_eq!(after, newer);
}

#[test]
fn journal_open_after_interrupted_creation_is_empty() {
    let (_folder, path) = new_path();
    for length in 0..HEADER.len() {
        let zeros = vec![0; HEADER.len() - length];
        for bytes in [HEADER[..length].to_vec(), [&HEADER[..length], &zeros].concat()] {
            let (result, after) = open(&path, &bytes);
            let expected = Recovered { cut_bytes: bytes.len() as u64, ..Recovered::default() };
            assert_eq!(result.unwrap(), expected);
            assert_eq!(after, HEADER);
            append_and_open_again(&path, &expected);
        }
    }
}

#[test]
fn journal_open_cuts_lengths_beyond_end_without_allocating() {
    let (_folder, path) = new_path();
    let whole = vec![("a".to_owned(), b"payload".to_vec())];
    let offset = places(&whole)[0].end as u64;
    for (name_bytes, payload_bytes) in
        [(u32::MAX, 0), (0, u64::MAX), (u32::MAX, u64::MAX), (3, 1 << 60), (0, 33)]
    {
        let head = Head { offset, name_bytes, payload_bytes };
        let half = [
            MARKER,
            &name_bytes.to_le_bytes(),
            &payload_bytes.to_le_bytes(),
            &head.seal(),
            &[7; 32],
            b"what is there of the payload.",
        ];
        let (result, after) = open(&path, &[file_of(&whole), half.concat()].concat());
        let cut_bytes = half.concat().len() as u64;
        assert_eq!(result.unwrap(), Recovered { records: all(&whole), damaged: Vec::new(), cut_bytes });
        assert_eq!(after, file_of(&whole));
    }
}

#[test]
fn journal_open_cuts_reserved_unwritten_space() {
    let (_folder, path) = new_path();
    let written: Written = vec![("a".into(), b"payload".to_vec()), ("b".into(), vec![b'x'; 100])];
    let second = places(&written)[1].clone();
    let whole = file_of(&written);
    for length in (second.start..second.start + SEALED_BYTES).chain([second.end]) {
        let (result, after) = open(&path, &[&whole[..length], &[0; 5000]].concat());
        let result = result.unwrap();
        let n_whole = 1 + usize::from(length == second.end);
        assert_eq!((result.records, result.damaged), (all(&written[..n_whole]), Vec::new()));
        assert_eq!(after.len(), places(&written)[n_whole - 1].end);
    }
}

#[test]
fn journal_open_tells_damage_at_end_from_interruption() {
    let (_folder, path) = new_path();
    let written: Written = ["a", "b", "c"].map(|name| (name.into(), vec![b'x'; 30])).into();
    let places = places(&written);
    let mut bytes = file_of(&written);
    bytes[places[1].start + 9] ^= 0x80; // a length, so that the record would extend beyond the end
    bytes[places[2].end - 1] ^= 1;
    let damaged = vec![Damage { offset: places[1].start as u64, bytes: places[1].len() as u64 * 2 }];
    let expected = Recovered { records: all(&written[..1]), damaged, cut_bytes: 0 };
    let (result, after) = open(&path, &bytes);
    assert_eq!(result.unwrap(), expected);
    assert_eq!(after, bytes);
    append_and_open_again(&path, &expected);

    // An incomplete record after them is still detected.
    let half = &frames(bytes.len() as u64, &[("d", &[b'x'; 50])]).unwrap()[..70];
    let (result, after) = open(&path, &[&bytes, half].concat());
    assert_eq!(result.unwrap(), Recovered { cut_bytes: 70, ..expected });
    assert_eq!(after, bytes);
}

proptest! {
    #[test]
    fn journal_round_trips_appended_records(appends in prop::collection::vec(records(), 0..4)) {
        let (_folder, path) = new_path();
        let mut journal = Journal::create(&path).unwrap();
        for records in &appends {
            journal.append(&borrowed(records)).unwrap();
        }
        drop(journal);
        let written = appends.concat();
        prop_assert_eq!(fs::read(&path).unwrap(), file_of(&written));
        let (_, recovered) = Journal::open(&path).unwrap();
        prop_assert_eq!(recovered, Recovered { records: all(&written), ..Recovered::default() });
    }

    #[test]
    fn journal_cut_keeps_whole_records(written in records(), length in any::<prop::sample::Index>()) {
        let (_folder, path) = new_path();
        let mut bytes = file_of(&written);
        bytes.truncate(length.index(bytes.len() + 1));
        let (result, after) = open(&path, &bytes);
        let whole = places(&written).iter().map(|place| place.end).filter(|&end| end <= bytes.len()).max();
        let whole = whole.unwrap_or(HEADER.len());
        let cut_bytes = if bytes.len() < HEADER.len() { bytes.len() } else { bytes.len() - whole } as u64;
        let records = kept(&written, |place| place.end <= bytes.len());
        let expected = Recovered { records, damaged: Vec::new(), cut_bytes };
        prop_assert_eq!(&result.unwrap(), &expected);
        prop_assert_eq!(after, &file_of(&written)[..whole]);
        append_and_open_again(&path, &expected);
    }

    #[test]
    fn journal_bit_flip_loses_only_its_record(
        written in records(),
        byte in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (_folder, path) = new_path();
        let mut bytes = file_of(&written);
        let byte = byte.index(bytes.len());
        bytes[byte] ^= 1 << bit;
        let (result, after) = open(&path, &bytes);
        prop_assert_eq!(after, bytes);
        if byte < HEADER.len() && written.is_empty() {
            prop_assert!(result.is_err());
            return Ok(());
        }
        let places = places(&written);
        let hit = places.iter().find(|place| place.contains(&byte)).cloned().unwrap_or(0..HEADER.len());
        let expected = Recovered {
            records: kept(&written, |place| !place.contains(&byte)),
            damaged: vec![Damage { offset: hit.start as u64, bytes: hit.len() as u64 }],
            cut_bytes: 0,
        };
        prop_assert_eq!(&result.unwrap(), &expected);
        append_and_open_again(&path, &expected);
    }

    #[test]
    fn journal_recovers_all_records_outside_damage(
        written in records(),
        overwritten in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..60, any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
    ) {
        let (_folder, path) = new_path();
        let good = file_of(&written);
        let mut bytes = good.clone();
        for (start, n, value) in overwritten {
            let start = start.index(bytes.len());
            bytes.iter_mut().skip(start).take(n).for_each(|byte| *byte = value);
        }
        bytes.truncate(length.index(bytes.len() + 1));
        let records = kept(&written, |place| bytes.get(place.clone()) == Some(&good[place.clone()]));
        let (result, after) = open(&path, &bytes);
        match result {
            Ok(recovered) => {
                prop_assert_eq!(&recovered.records, &records);
                append_and_open_again(&path, &recovered);
            }
            Err(_) => {
                prop_assert!(records.is_empty());
                prop_assert_eq!(after, bytes);
            }
        }
    }

    #[test]
    fn journal_open_of_arbitrary_bytes_has_no_records(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                Just(MARKER.to_vec()),
                Just(HEADER.to_vec()),
                (0..200_usize).prop_map(|n| vec![0; n]),
            ],
            0..8,
        ),
        with_header: bool,
    ) {
        let (_folder, path) = new_path();
        let bytes = [if with_header { HEADER } else { b"" }, &parts.concat()].concat();
        let (result, after) = open(&path, &bytes);
        match result {
            Ok(recovered) => {
                prop_assert!(recovered.records.is_empty());
                append_and_open_again(&path, &recovered);
            }
            Err(_) => prop_assert_eq!(after, bytes),
        }
    }
}

/// A disk that becomes full.
#[derive(Debug)]
struct Failing {
    file: File,
    free_bytes: usize,
    sync_fails: bool,
    cut_fails: bool,
}

impl Disk for Failing {
    fn write_and_sync(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = bytes.len().min(self.free_bytes);
        self.free_bytes -= written;
        self.file.write_and_sync(offset, &bytes[..written])?;
        if written < bytes.len() || self.sync_fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.cut_fails { Err(io::ErrorKind::Other.into()) } else { self.file.cut(length) }
    }
}

/// A journal with `first` on a disk with `free_bytes` of free space.
fn failing(path: &Path, first: &Written, free_bytes: usize) -> End<Failing> {
    let bytes = file_of(first);
    fs::write(path, &bytes).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    End::new(Failing { file, free_bytes, sync_fails: false, cut_fails: false }, bytes.len() as u64)
}

/// Returns the contents of a copy of the file, as after a kill.
fn after_a_kill(path: &Path) -> Recovered {
    open(&path.with_extension("copy"), &fs::read(path).unwrap()).0.unwrap()
}

fn first_and_second() -> (Written, Written) {
    let first = vec![("a".into(), b"one".to_vec()), ("b".into(), b"two".to_vec())];
    let second =
        vec![("b".into(), b"three".to_vec()), ("c".into(), file_of(&first)), ("d".into(), Vec::new())];
    (first, second)
}

#[test]
fn journal_append_on_full_disk_leaves_file_unchanged() {
    let (_folder, path) = new_path();
    let (first, second) = first_and_second();
    let n_bytes = frames(0, &borrowed(&second)).unwrap().len();
    for free_bytes in 0..=n_bytes {
        let mut end = failing(&path, &first, free_bytes);
        end.disk.sync_fails = free_bytes == n_bytes;
        for _ in 0..2 {
            end.append(&borrowed(&second)).unwrap_err();
            assert_eq!(fs::read(&path).unwrap(), file_of(&first), "{free_bytes}");
        }
        // A smaller record may still fit; then there is space again.
        end.disk.free_bytes = free_bytes;
        let fits = end.append(&[("e", b"small")]).is_ok();
        assert_eq!(fits, (HEAD_BYTES + 6..n_bytes).contains(&free_bytes));
        (end.disk.free_bytes, end.disk.sync_fails) = (usize::MAX, false);
        end.append(&borrowed(&second)).unwrap();
        let small = fits.then(|| ("e".to_owned(), b"small".to_vec()));
        let written: Written = first.iter().cloned().chain(small).chain(second.clone()).collect();
        assert_eq!(fs::read(&path).unwrap(), file_of(&written));
        assert_eq!(after_a_kill(&path), Recovered { records: all(&written), ..Recovered::default() });
    }
}

#[test]
fn journal_append_retries_failed_truncation() {
    let (_folder, path) = new_path();
    let (first, second) = first_and_second();
    let n_bytes = frames(0, &borrowed(&second)).unwrap().len();
    for free_bytes in 0..n_bytes {
        let mut end = failing(&path, &first, free_bytes);
        end.disk.cut_fails = true;
        end.append(&borrowed(&second)).unwrap_err();
        // After a kill at this point, complete records are kept and the incomplete one is removed.
        let written = [first.clone(), second.clone()].concat();
        let length = file_of(&first).len() + free_bytes;
        assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
        let found = after_a_kill(&path);
        assert_eq!(found.records, kept(&written, |place| place.end <= length));
        assert_eq!(found.damaged, []);
        // There is space, but the bytes written cannot be removed.
        end.disk.free_bytes = usize::MAX;
        end.append(&[("e", b"small")]).unwrap_err();
        assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
        end.disk.cut_fails = false;
        end.append(&[("e", b"small")]).unwrap();
        let written = [first.clone(), vec![("e".into(), b"small".to_vec())]].concat();
        assert_eq!(fs::read(&path).unwrap(), file_of(&written));
        assert_eq!(after_a_kill(&path), Recovered { records: all(&written), ..Recovered::default() });
    }
}
