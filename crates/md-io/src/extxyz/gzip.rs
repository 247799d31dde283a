//! Files compressed with gzip (RFC 1952), with one or several members.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A stream that inflates to more than this many bytes and to more than [`MOST_INFLATION`] times its length is an
/// error: the numbers of frames do not compress that well, but a megabyte may hold a gigabyte of zeros.
const FREE_BYTES: u64 = 4 << 20;
const MOST_INFLATION: u64 = 50;

/// Returns the content of `reader`, decompressed if it is gzip.
pub(super) fn decompressed<'a>(
    mut reader: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    if reader.fill_buf()?.starts_with(&MAGIC) {
        let decoder = MultiGzDecoder::new(Counted { reader, bytes: 0 });
        Ok(Box::new(BufReader::new(Gzip { decoder, inflated: 0 })))
    } else {
        Ok(Box::new(reader))
    }
}

/// Marks errors as errors of the compression.
struct Gzip<R> {
    decoder: MultiGzDecoder<Counted<R>>,
    /// Number of decompressed bytes.
    inflated: u64,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(
                kind,
                format!("the gzip stream is truncated or corrupt ({error}): copy or make the file again"),
            ),
        })?;
        self.inflated += n as u64;
        if self.inflated > FREE_BYTES.max(MOST_INFLATION * self.decoder.get_ref().bytes) {
            let message = format!(
                "the gzip stream inflates to more than {MOST_INFLATION} times its length, as no frames do: decompress it \
                 (gunzip) and look at what it holds"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(n)
    }
}

/// Counts the bytes read from `reader`.
struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.bytes += n as u64;
        self.reader.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::{LabelKeys, LabelledFrame, XyzError, XyzProblem, read_frames, read_system};

    fn text(frames: usize) -> String {
        (0..frames)
            .map(|i| {
                let x = 0.7 + (i as f64 * 0.731).sin() * 0.1;
                format!("2\nProperties=species:S:1:pos:R:3 energy=-{i}.5\nH 0 0 0\nH {x} 0 0\n")
            })
            .collect()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<Vec<LabelledFrame>, XyzError> {
        fs::write(path, bytes).unwrap();
        read_frames(path, &LabelKeys::default())
    }

    /// Returns what is wrong with the stream. The line that the reader had come to depends on the compression.
    fn problem_of(path: &Path, bytes: &[u8]) -> String {
        let error = read(path, bytes).unwrap_err();
        let XyzError::At { file, problem: problem @ XyzProblem::Read(_), .. } = error else {
            panic!("{}: {error}", bytes.len());
        };
        assert_eq!(file, path.display().to_string());
        problem.to_string()
    }

    #[test]
    fn gzip_reads_as_plain_whatever_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let plain = read(&folder.path().join("a.extxyz"), text(2000).as_bytes()).unwrap();
        let one = gzip(&text(2000));
        assert!(one.len() > 16 * 1024, "it shall not fit into one buffer");
        for name in ["a.extxyz.gz", "a.xyz.gz", "misnamed.xyz"] {
            assert_eq!(read(&folder.path().join(name), &one).unwrap(), plain);
        }
        let several = read_system(&folder.path().join("a.xyz.gz")).unwrap_err();
        assert!(matches!(several, XyzError::SeveralFrames { .. }), "{several}");
        // Several members, as made by `cat a.gz b.gz`; the second begins inside a frame.
        let text = text(2000);
        let two = [gzip(&text[..1234]), gzip(&text[1234..])].concat();
        assert_eq!(read(&folder.path().join("two.extxyz.gz"), &two).unwrap(), plain);
    }

    #[test]
    fn gzip_truncated_anywhere_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.extxyz.gz");
        let two = [gzip(&text(3)), gzip(&text(2))].concat();
        let member = gzip(&text(3)).len();
        let lengths = (2..two.len()).filter(|&l| l != member);
        let problems: BTreeSet<String> = lengths.map(|length| problem_of(&path, &two[..length])).collect();
        insta::assert_snapshot!(Vec::from_iter(problems).join("\n"));
    }

    #[test]
    fn gzip_bomb_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.extxyz.gz");
        let frame = "1\n\nH 0 0 0\n";
        let bombs = [gzip(&" ".repeat(5 << 20)), gzip(&frame.repeat((5 << 20) / frame.len()))];
        assert!(bombs.iter().all(|bomb| bomb.len() < 200_000));
        insta::assert_snapshot!(bombs.map(|bomb| problem_of(&path, &bomb)).join("\n"));
    }

    #[test]
    fn gzip_corrupt_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corrupt.extxyz.gz");
        let good = gzip(&text(3));
        // The compression method, the middle of the stream, the checksum at its end, and bytes after it.
        for at in [2, good.len() / 2, good.len() - 8] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            read(&path, &bytes).unwrap_err();
        }
        insta::assert_snapshot!(problem_of(&path, &[good, b"more".to_vec()].concat()));
    }
}
