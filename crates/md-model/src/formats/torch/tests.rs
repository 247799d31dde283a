use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

const FIXTURE: &[u8] = include_bytes!("../../../tests/data/distiller.pt");

fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn with_pickle(pickle: &[u8]) -> Vec<u8> {
    archive(&[("m/data.pkl", pickle), ("m/data/0", &[0; 16])], CompressionMethod::Stored)
}

fn error(bytes: &[u8]) -> TorchError {
    match read(bytes, None) {
        Err(CheckpointError::Torch(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("read without an error"),
    }
}

/// `{'model_state_dict': {'w': <tensor>}}` with a float tensor of this offset, shape and strides.
fn state_dict_of(offset: i32, shape: [i32; 2], strides: [i32; 2]) -> Vec<u8> {
    let int = |n: i32| [&b"J"[..], &n.to_le_bytes()].concat();
    let pair = |[a, b]: [i32; 2]| [&int(a)[..], &int(b), b"\x86"].concat();
    let mut p = b"\x80\x02}\x8c\x10model_state_dict}\x8c\x01wctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    p.extend(b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x04tQ");
    p.extend([int(offset), pair(shape), pair(strides)].concat());
    p.extend(b"\x89ccollections\nOrderedDict\n)RtRss.");
    p
}

#[test]
fn torch_read_lays_out_storage_views_row_major() {
    let data: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let values = |offset, shape, strides| {
        let pickle = state_dict_of(offset, shape, strides);
        let file = archive(&[("m/data.pkl", &pickle), ("m/data/0", &data)], CompressionMethod::Stored);
        read(&file, None).map(|content| content.weights["w"].values.clone())
    };
    assert_eq!(values(0, [2, 2], [2, 1]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(values(0, [2, 2], [1, 2]).unwrap(), [1.0, 3.0, 2.0, 4.0], "transposed");
    assert_eq!(values(2, [1, 2], [2, 1]).unwrap(), [3.0, 4.0], "from the third number on");
    assert_eq!(values(3, [2, 2], [0, 0]).unwrap(), [4.0; 4], "one number expanded");
    assert_eq!(values(0, [0, 2], [2, 1]).unwrap(), [0.0; 0], "empty");
    let message = values(1, [2, 2], [2, 1]).unwrap_err().to_string();
    assert!(message.contains("reaches beyond its storage of 4 numbers"), "{message}");
}

#[test]
fn torch_read_rejects_oversized_shapes() {
    for shape in [[i32::MAX, i32::MAX], [100_000, 100_000], [1 << 20, 1]] {
        let file = with_pickle(&state_dict_of(0, shape, [0, 0]));
        assert!(matches!(error(&file), TorchError::TooLarge { .. }));
    }
    assert!(matches!(error(&with_pickle(&state_dict_of(0, [-1, 2], [2, 1]))), TorchError::Tensor { .. }));
}

#[test]
fn pickle_names_and_refuses_python_code() {
    let cases: [(&[u8], &str); 7] = [
        (b"\x80\x02cos\nsystem\n\x8c\x04true\x85R.", "os.system"),
        (b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.", "posix.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"\x80\x02ctorch._utils\n_rebuild_device_tensor_from_numpy\n.", "torch._utils._rebuild_device"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x02}\x8c\x04hookcnumpy\nload\n)Rs.", "'numpy.load' (after 'hook', byte 9)"),
        (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
    ];
    for (pickle, name) in cases {
        let error = error(&with_pickle(pickle));
        assert!(matches!(&error, TorchError::Pickle(PickleError::ForbiddenGlobal { .. })), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    // INST, OBJ, NEWOBJ, EXT1, PERSID: other ways to refer to a class or a custom reader.
    for opcode in [b'i', b'o', 0x81, 0x82, b'P'] {
        let error = error(&with_pickle(&[0x80, 2, opcode, 0, 0]));
        assert!(
            matches!(error, TorchError::Pickle(PickleError::ForbiddenOpcode { opcode: o, .. }) if o == opcode)
        );
    }
}

#[test]
fn pickle_damaged_is_refused() {
    for pickle in [
        &b""[..],
        b"\x80",
        b"\x80\x02",
        b"\x80\x02.",                     // nothing on the stack
        b"\x80\x02t.",                    // no MARK
        b"\x80\x02h\x05.",                // nothing in the memo
        b"\x80\x02}\x88s.",               // a key without a value
        b"\x80\x02X\xff\xff\xff\xff.",    // a string of 4 GB
        b"\x80\x02\x8c\x02\xff\xff.",     // not UTF-8
        b"\x80\x02}(0.",                  // pops what is below the MARK
        b"\x80\x02\x88)R.",               // calls True
        b"\x80\x02\x88\x88b.",            // attributes of True
        b"\x80\x02\x8a\xff.",             // an integer of 255 bytes, of which one is there
        b"\x80\x02\x8f(\x88u.",           // a key without a value, in a set
        b"\x80\x02Nc_codecs\nencode\nR.", // a call without arguments
    ] {
        let error = error(&with_pickle(pickle));
        assert!(matches!(error, TorchError::Pickle(_)), "{pickle:?}: {error}");
    }
    // Valid pickles of other objects.
    for pickle in [&b"\x80\x02N."[..], b"\x80\x02}.", b"\x80\x02}\x8c\x10model_state_dictK\x01s."] {
        assert!(matches!(error(&with_pickle(pickle)), TorchError::NoStateDict { .. }), "{pickle:?}");
    }
}

#[test]
fn pickle_ignores_harmless_objects() {
    for object in [
        &b"ctorch\ndevice\n(\x8c\x04cudaK\x00tR"[..],
        b"ctorch\nfloat32\n",
        b"ctorch\nSize\n(K\x01K\x02t\x85R",
        b"c__builtin__\nset\n](K\x01K\x02e\x85R",
        b"\x8f(K\x01K\x02\x90",
        b"(K\x01\x91",
        b"ccollections\ndefaultdict\nc__builtin__\nlong\n\x85R(\x8c\x01aK\x01u",
        b"ccollections\ndeque\n)R(K\x01e",
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n(\x8c\x02f8\x89\x88tR(K\x03\x8c\x01<NNNtb\
          c_codecs\nencode\n(\x8c\x08\0\0\0\0\0\0\0\0\x8c\x06latin1tR\x86R",
        b"cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n)RC\x02\0\xff\x86R",
        b"B\x02\0\0\0\0\xff",
        b"cargparse\nNamespace\n)\x81}\x8c\x02lrG\0\0\0\0\0\0\0\0sb",
        b"cpathlib\nPosixPath\n(\x8c\x01/\x8c\x03tmptR",
        b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00", // torch.initial_seed()
    ] {
        let sound = state_dict_of(0, [1, 1], [1, 1]);
        let entry = [b"\x8c\x06beside", object, b"s."].concat();
        let beside = [&sound[..sound.len() - 1], &entry].concat();
        assert!(read(&with_pickle(&beside), None).is_ok(), "{object:?}");
        // A configuration lacks what it cannot express; a dictionary with a default counts as a dictionary.
        let within = with_pickle(&config_of(b"", &[b"\x8c\x06cutoff", object].concat()));
        let content = read(&within, None).unwrap();
        let expected = match content.opaque.as_slice() {
            [] => serde_json::json!({ "cutoff": { "a": 1 } }),
            opaque => {
                assert_eq!(opaque, ["cutoff"]);
                serde_json::json!({})
            }
        };
        assert_eq!(Json::from(content.config), expected, "{object:?}");
    }
}

/// Each instruction takes one byte of the file and many of memory: half a gigabyte of them would exhaust it.
#[test]
fn pickle_of_too_many_instructions_is_refused() {
    for instruction in [&b"]"[..], b"(", b"N\x94"] {
        let pickle = [b"\x80\x02", &instruction.repeat(5_000_000)[..]].concat();
        let error = error(&with_pickle(&pickle));
        let TorchError::Pickle(PickleError::TooLong { limit }) = error else { panic!("{error}") };
        assert_eq!(limit, 1 << 22);
    }
}

/// `pickle_protocol=0`, of which `torch.load` cannot read tensors either.
#[test]
fn pickle_of_old_protocol_is_named() {
    for pickle in [&b"(dp0\nVmodel_state_dict\np1\n(dp2\nss."[..], b"}q\0(U\x10model_state_dictq\x01}q\x02u."]
    {
        let error = error(&with_pickle(pickle));
        assert!(matches!(error, TorchError::Pickle(PickleError::OldProtocol)), "{error}");
    }
}

#[test]
fn torch_read_names_compiled_program() {
    let entries = [("m/data.pkl", &b"\x80\x02c__torch__\nM\n)\x81."[..]), ("m/constants.pkl", b"\x80\x02).")];
    let error = error(&archive(&entries, CompressionMethod::Stored));
    assert!(matches!(error, TorchError::Script), "{error}");
    assert!(error.to_string().contains("torch.jit.save"), "{error}");
}

/// Deep nesting does not overflow the stack, and a list that contains itself does not exhaust memory.
#[test]
fn pickle_survives_deep_and_cyclic_nesting() {
    let mut deep = vec![b']'; 1_000_000];
    deep.extend(vec![b'a'; 999_999]);
    deep.push(b'.');
    assert!(matches!(error(&with_pickle(&deep)), TorchError::NoStateDict { .. }));
    let mut doubled = b"]q\0".to_vec();
    for _ in 0..100_000 {
        doubled.extend(b"h\0h\0\x86q\0");
    }
    doubled.push(b'.');
    assert!(matches!(error(&with_pickle(&doubled)), TorchError::NoStateDict { .. }));
    let cyclic = b"\x80\x02}q\0\x8c\x10model_state_dicth\0s.";
    assert!(matches!(error(&with_pickle(cyclic)), TorchError::NoStateDict { .. }));
}

/// `{'model_state_dict': {}, 'config': {...}}` with `config` as the bytes between its MARK and its SETITEMS.
fn config_of(before: &[u8], config: &[u8]) -> Vec<u8> {
    [b"\x80\x02", before, b"}(\x8c\x10model_state_dict}\x8c\x06config}(", config, b"uu."].concat()
}

/// One string in every item of one list in every entry: 10 kB that would expand to a terabyte.
#[test]
fn pickle_shared_objects_are_not_expanded() {
    let text = [&b"X\xe8\x03\0\0"[..], &[b'x'; 1000], b"q\x00"].concat();
    let list = [&b"]("[..], &b"h\0".repeat(1000), b"eq\x01"].concat();
    let entries: Vec<u8> = (0..100u8).flat_map(|k| [0x8c, 1, k, b'h', 1]).collect();
    let pickle = config_of(&[text, list].concat(), &entries);
    let error = error(&with_pickle(&pickle));
    assert!(matches!(error, TorchError::LargeConfig { .. }), "{error}");
    let sound = with_pickle(&config_of(b"X\x04\0\0\0sizeq\0", b"h\0K\x05\x8c\x01l](K\x01K\x02e"));
    let config = read(&sound, None).unwrap().config.unwrap();
    assert_eq!(Json::from(config), serde_json::json!({ "size": 5, "l": [1, 2] }));
    let nested = with_pickle(&config_of(b"", b"\x8c\x05model}\x8c\x01n](K\x01}es"));
    let config = read(&nested, None).unwrap().config.unwrap();
    assert_eq!(Json::from(config), serde_json::json!({ "model": { "n": [1, {}] } }));
}

#[test]
fn torch_read_rejects_repeated_tensor_name() {
    // Repeats the second pair of key and value before SETITEM.
    let once = state_dict_of(0, [1, 1], [1, 1]);
    let key = once.windows(3).position(|w| w == b"\x8c\x01w").unwrap();
    let pair = &once[key..once.len() - 3];
    let twice = [&once[..key], b"(", pair, pair, b"us."].concat();
    let error = error(&with_pickle(&twice));
    assert!(matches!(&error, TorchError::Repeated { name } if name == "w"), "{error}");
}

/// A directory that states a false length for a stored entry, or none.
#[test]
fn zip_entry_with_false_length_is_refused() {
    let file = with_pickle(&state_dict_of(0, [1, 1], [1, 1]));
    let directory = file.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    for stated in [0u32, 15, 17, u32::MAX - 1] {
        let mut bytes = file.clone();
        bytes[directory + 24..directory + 28].copy_from_slice(&stated.to_le_bytes());
        let error = error(&bytes);
        assert!(matches!(error, TorchError::Overlapping { .. }), "{stated}: {error}");
    }
}

#[test]
fn zip_with_several_ends_is_refused() {
    let ends = [FIXTURE, &b"PK\x05\x06".repeat(1000)].concat();
    assert!(matches!(error(&ends), TorchError::Ends { found: 1001 }));
}

#[test]
fn torch_read_refuses_foreign_archives() {
    let pickle: &[u8] = b"\x80\x02}.";
    let bomb = vec![0; 10_000_000];
    let deflated = archive(&[("m/data.pkl", &bomb)], CompressionMethod::Deflated);
    assert!(deflated.len() < 20_000);
    assert!(matches!(error(&deflated), TorchError::Compressed { .. }));
    let stored = |entries: &[(&str, &[u8])]| error(&archive(entries, CompressionMethod::Stored));
    assert!(matches!(stored(&[("readme.txt", pickle)]), TorchError::NoPickle { found: 0 }));
    assert!(matches!(
        stored(&[("a/data.pkl", pickle), ("b/data.pkl", pickle)]),
        TorchError::NoPickle { found: 2 }
    ));
    let big = stored(&[("m/data.pkl", pickle), ("m/byteorder", b"big")]);
    assert!(matches!(big, TorchError::ByteOrder { .. }));
    for end in [0, 4, 100, FIXTURE.len() / 2, FIXTURE.len() - 1] {
        assert!(matches!(error(&FIXTURE[..end]), TorchError::Zip(_)), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn torch_read_never_panics_on_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, None);
        let _ = read(&with_pickle(&bytes), None);
    }

    /// Programs of valid instructions test more of the reader than noise does.
    #[test]
    fn pickle_never_panics_on_arbitrary_programs(
        program in prop::collection::vec(prop::sample::select(&b"(.0N\x88K\x00M}])t\x85\x86\x87aesuq\x01h\x94QRb"[..]), 0..60),
    ) {
        let _ = read(&with_pickle(&program), None);
    }

    #[test]
    fn torch_read_never_panics_on_damaged_file(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = FIXTURE.to_vec();
        for (index, byte) in &changes {
            bytes[index.index(FIXTURE.len())] = *byte;
        }
        let _ = read(&bytes, None);
    }

    /// Damage within the pickle, with a valid checksum of the archive.
    #[test]
    fn pickle_never_panics_on_damage(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut pickle = Archive::open(FIXTURE).unwrap().entry("data.pkl").unwrap();
        for (index, byte) in &changes {
            let length = pickle.len();
            pickle[index.index(length)] = *byte;
        }
        let _ = read(&with_pickle(&pickle), None);
    }
}
