//! Any bytes as extended XYZ, plain or gzip. What is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use md_io::extxyz::{self, FrameReader, FrameToWrite, LabelKeys, WriteError};

fuzz_target!(|bytes: &[u8]| {
    let keys = LabelKeys::default();
    let required = LabelKeys { required: true, ..LabelKeys::default() };
    let Ok(frames) = extxyz::from_reader(bytes, "f.xyz", required) else { return };
    frames.for_each(drop);
    for frame in extxyz::from_reader(bytes, "f.xyz", keys.clone()).unwrap() {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() < 2_000, "{message}");
                return;
            }
        };
        let info: Vec<(&str, String)> =
            frame.info.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let written = FrameToWrite {
            energy_ev: frame.energy_ev,
            forces: frame.forces.as_deref(),
            velocities: frame.velocities.as_deref(),
            info: &info,
            ..FrameToWrite::from(&frame.system)
        };
        let mut text = Vec::new();
        match extxyz::write_frame(&mut text, &written) {
            Ok(()) => {
                let again = FrameReader::new(&text[..], "again.xyz", keys.clone()).next().unwrap().unwrap();
                assert_eq!(again, frame);
            }
            Err(error) => assert!(matches!(error, WriteError::Info { .. }), "{error}"),
        }
    }
});
