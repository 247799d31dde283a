use md_core::{
    Batch, Cell, Configuration, Element, Evaluation, Mat3, Potential, PotentialError, Request, State, System,
    Vec3,
};

use super::buffered::{BUFFER_BYTES, BUFFER_FRAMES};
use super::*;
use crate::extxyz::{LabelKeys, LabelledFrame, read_frames};
use std::fs::File;
use std::io::{Read, Write};

/// `E = ½ z²` per atom.
struct Springs;

impl Potential for Springs {
    fn name(&self) -> &str {
        "springs"
    }

    fn check(&self, _: &Batch, _: Request) -> Result<(), PotentialError> {
        Ok(())
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        out.reset(c.batch, request);
        for (s, atoms) in c.batch.ranges().enumerate() {
            out.energies[s] = c.positions[atoms].iter().map(|x| 0.5 * x.z * x.z).sum();
        }
        for (force, x) in out.forces.iter_mut().zip(c.positions) {
            *force = Vec3::new(0.0, 0.0, -x.z);
        }
        Ok(())
    }
}

fn systems() -> [System; 3] {
    let line = |n: usize, element| {
        let positions = (0..n).map(|i| Vec3::new(i as f64 / 3.0, 0.1, -0.7)).collect();
        System::new(vec![element; n], positions).unwrap()
    };
    let heavy = line(3, Element::H).with_masses_amu(vec![1.008, 2.014, 3.016]).unwrap();
    let boxed = line(1, Element::AR)
        .with_cell(Cell::new(Mat3::new(5.0, 0.0, 0.0, 0.1, 6.0, 0.0, 0.2, 0.3, 7.0), [true; 3]).unwrap());
    [line(2, Element::C), heavy, boxed]
}

/// Runs all three systems for `steps` steps; system 0 leaves the batch halfway.
fn run(steps: u64, mut look: impl FnMut(Frame<'_>)) {
    let mut state = State::at_rest(&systems(), &mut Springs).unwrap();
    let mut ids = vec![0, 1, 2];
    loop {
        let conserved_ev: Vec<f64> =
            (0..ids.len()).map(|s| state.potential_energy_ev(s) + state.kinetic_energy_ev(s)).collect();
        look(Frame { state: &state, ids: &ids, conserved_ev: &conserved_ev });
        if state.step() == steps {
            return;
        }
        if state.step() == steps / 2 {
            state.retain_systems(&[1, 2]);
            ids = vec![1, 2];
        }
        state.kick(0.1);
        state.drift(0.2);
        state.evaluate(&mut Springs).unwrap();
        state.kick(0.1);
        state.advance(0.2);
    }
}

/// Passes a frame to the writer if it is due.
fn show(writer: &mut TrajectoryWriter, frame: Frame<'_>) {
    if frame.state.step().is_multiple_of(writer.stride()) {
        writer.observe(frame).unwrap();
    }
}

/// Returns the contents expected in the file of a frame.
fn labelled(frame: Frame<'_>) -> impl Iterator<Item = (usize, LabelledFrame)> {
    let systems = systems();
    frame.systems().map(move |system| {
        let info = BTreeMap::from([
            ("step".into(), system.step().to_string()),
            ("time_fs".into(), format!("{:?}", system.time_fs())),
            ("kinetic_energy_ev".into(), format!("{:?}", system.kinetic_energy_ev())),
            ("conserved_ev".into(), format!("{:?}", system.conserved_ev())),
            ("temperature_k".into(), format!("{:?}", system.temperature_k())),
        ]);
        let frame = LabelledFrame {
            system: systems[system.id].clone().with_positions(system.positions().to_vec()).unwrap(),
            energy_ev: Some(system.potential_energy_ev()),
            forces: Some(system.forces().to_vec()),
            velocities: Some(system.velocities().to_vec()),
            info,
            other_columns: Vec::new(),
        };
        (system.id, frame)
    })
}

fn names() -> Vec<(usize, String)> {
    // Not in the order of their indices.
    [(1, "hydrogen"), (0, "carbon"), (2, "argon")].map(|(id, stem)| (id, stem.to_owned())).into()
}

fn path(folder: &Path, stem: &str, compression: Compression) -> PathBuf {
    folder.join(match compression {
        Compression::None => format!("{stem}.extxyz"),
        Compression::Gzip => format!("{stem}.extxyz.gz"),
    })
}

fn read(path: &Path) -> Vec<LabelledFrame> {
    read_frames(path, &LabelKeys::default()).unwrap()
}

/// Returns the bytes of each file, in the order of the system indices.
fn bytes(folder: &Path, compression: Compression) -> Vec<Vec<u8>> {
    ["carbon", "hydrogen", "argon"].map(|stem| fs::read(path(folder, stem, compression)).unwrap()).into()
}

const BOTH: [Compression; 2] = [Compression::None, Compression::Gzip];

#[test]
fn trajectory_writer_round_trips_observed_frames() {
    for compression in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new/folder");
        let mut writer = TrajectoryWriter::create(&folder, &names(), 4, compression).unwrap();
        let mut seen = vec![Vec::new(); 3];
        // 251 frames: more than two buffers.
        run(1000, |frame| {
            show(&mut writer, frame);
            if frame.state.step().is_multiple_of(4) {
                labelled(frame).for_each(|(id, labelled)| seen[id].push(labelled));
            }
        });
        writer.finish().unwrap();
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [126, 251, 251]);
        for (id, stem) in names() {
            assert_eq!(read(&path(&folder, &stem, compression)), seen[id], "{stem}");
        }
    }
}

#[test]
fn trajectory_writer_writes_chosen_systems_in_bounded_memory() {
    for compression in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let argon = [(2, "argon".into())];
        let mut writer = TrajectoryWriter::create(folder.path(), &argon, 1, compression).unwrap();
        run(350, |frame| show(&mut writer, frame));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let path = path(folder.path(), "argon", compression);
        // 351 frames of one atom: three times BUFFER_FRAMES are on disk, all of them complete.
        assert_eq!(read(&path).len(), 3 * BUFFER_FRAMES);
        assert!(writer.files[&2].buffer.len() < BUFFER_BYTES);
        drop(writer);
        assert_eq!(read(&path).len(), 351);
    }
}

#[test]
fn trajectory_gzip_is_smaller_and_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, compression| {
        let folder = folder.path().join(name);
        let mut writer = TrajectoryWriter::create(&folder, &names(), 1, compression).unwrap();
        run(350, |frame| show(&mut writer, frame));
        writer.finish().unwrap();
        bytes(&folder, compression)
    };
    let plain = write("plain", Compression::None);
    let first = write("first", Compression::Gzip);
    assert_eq!(first, write("second", Compression::Gzip));
    for (plain, compressed) in plain.iter().zip(&first) {
        assert!(2 * compressed.len() < plain.len());
        assert_eq!(compressed[4..8], [0; 4], "no time of modification");
        let mut text = Vec::new();
        flate2::bufread::MultiGzDecoder::new(compressed.as_slice()).read_to_end(&mut text).unwrap();
        assert_eq!(&text, plain);
    }
}

#[test]
fn trajectory_reopen_after_kill_gives_same_frames() {
    for compression in BOTH {
        // Killed long after the checkpoint, which is before, at and after the step where system 0 leaves; twice.
        for checkpoints in [[0, 0], [10, 299], [250, 250], [251, 390]] {
            let folder = tempfile::tempdir().unwrap();
            let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
            let mut writer = TrajectoryWriter::create(&whole, &names(), 1, compression).unwrap();
            run(500, |frame| show(&mut writer, frame));
            writer.finish().unwrap();

            let mut writer = TrajectoryWriter::create(&parts, &names(), 1, compression).unwrap();
            let mut done = None;
            for last in checkpoints {
                let mut written = Vec::new();
                run(500, |frame| {
                    let step = frame.state.step();
                    if done < Some(step) && step <= last + 205 {
                        show(&mut writer, frame);
                    }
                    if step == last {
                        written = writer.checkpoint().unwrap();
                        assert!(written.iter().all(|file| file.fault(&parts).is_none()));
                    }
                });
                std::mem::forget(writer); // a kill, which loses the buffered frames
                done = Some(last);
                writer = TrajectoryWriter::reopen(&parts, &names(), 1, compression, &written).unwrap();
                assert!(written.iter().all(|file| file.fault(&parts).is_none()));
            }
            run(500, |frame| {
                if done < Some(frame.state.step()) {
                    show(&mut writer, frame);
                }
            });
            writer.finish().unwrap();
            for (_, stem) in names() {
                let [parts, whole] = [&parts, &whole].map(|folder| read(&path(folder, &stem, compression)));
                assert_eq!(parts, whole, "{stem} {checkpoints:?}");
            }
            if compression == Compression::None {
                assert_eq!(bytes(&parts, compression), bytes(&whole, compression));
            }
        }
    }
}

#[test]
fn trajectory_checkpoint_flushes_only_new_frames() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TrajectoryWriter::create(folder.path(), &names(), 1, Compression::Gzip).unwrap();
    assert!(writer.checkpoint().unwrap().iter().all(|file| file.bytes == 0));
    run(10, |frame| show(&mut writer, frame));
    let written = writer.checkpoint().unwrap();
    assert!(written.iter().all(|file| file.bytes > 0));
    assert_eq!(writer.checkpoint().unwrap(), written);
    let on_disk = bytes(folder.path(), Compression::Gzip);
    drop(writer);
    assert_eq!(bytes(folder.path(), Compression::Gzip), on_disk);
}

#[test]
fn trajectory_reopen_refuses_other_files_untouched() {
    for compression in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TrajectoryWriter::create(folder.path(), &names(), 1, compression).unwrap();
        run(10, |frame| show(&mut writer, frame));
        let written = writer.checkpoint().unwrap();
        drop(writer);
        let on_disk = bytes(folder.path(), compression);
        let reopen = |written: &[Written]| {
            TrajectoryWriter::reopen(folder.path(), &names(), 1, compression, written).map(drop).unwrap_err()
        };
        let message = reopen(&written[..2]).to_string();
        assert_eq!(message, "the checkpoint is of 2 trajectories (expected 3)");
        let argon = path(folder.path(), "argon", compression);
        let mut longer = written.clone();
        longer[2].bytes += 1;
        let error = reopen(&longer);
        assert!(
            matches!(&error, TrajectoryError::Shorter { path, expected, found }
                if *path == argon && *expected == written[2].bytes + 1 && *found == written[2].bytes),
            "{error}"
        );
        assert_eq!(bytes(folder.path(), compression), on_disk);
        let mut flipped = on_disk[2].clone();
        flipped[9] ^= 1;
        fs::write(&argon, flipped).unwrap();
        assert!(matches!(reopen(&written), TrajectoryError::Damaged { path } if path == argon));
        fs::remove_file(&argon).unwrap();
        let message =
            format!("the trajectory {} is missing (expected {} bytes)", argon.display(), written[2].bytes);
        assert_eq!(reopen(&written).to_string(), message);
        assert_eq!(fs::read(path(folder.path(), "carbon", compression)).unwrap(), on_disk[0]);
    }
}

#[test]
fn trajectory_writer_retries_failed_writes() {
    for compression in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let argon = path(folder.path(), "argon", compression);
        let mut writer =
            TrajectoryWriter::create(folder.path(), &[(2, "argon".into())], 1, compression).unwrap();
        let mut seen = Vec::new();
        run(30, |frame| {
            show(&mut writer, frame);
            seen.extend(labelled(frame).filter(|(id, _)| *id == 2).map(|(_, labelled)| labelled));
            match frame.state.step() {
                10 => {
                    writer.checkpoint().unwrap();
                    fs::rename(&argon, folder.path().join("away")).unwrap();
                }
                20 => {
                    writer.checkpoint().unwrap_err();
                    fs::rename(folder.path().join("away"), &argon).unwrap();
                    // The first half of a failed write whose truncation failed, too.
                    let mut file = File::options().append(true).open(&argon).unwrap();
                    file.write_all(&[b'x'; 100_000]).unwrap();
                }
                _ => {}
            }
        });
        writer.finish().unwrap();
        assert_eq!(read(&argon), seen);
    }
}

#[test]
fn trajectory_create_refuses_unsafe_or_repeated_names() {
    let folder = tempfile::tempdir().unwrap();
    let create = |systems: &[(usize, &str)]| {
        let systems: Vec<_> = systems.iter().map(|&(id, stem)| (id, stem.to_owned())).collect();
        TrajectoryWriter::create(&folder.path().join("inside"), &systems, 1, Compression::None).map(drop)
    };
    for name in ["", "../water", "a/b", "a\\b", "a\0"] {
        assert!(matches!(create(&[(0, name)]), Err(TrajectoryError::Name(_))), "{name:?}");
    }
    for systems in [[(0, "a"), (1, "a")], [(0, "a"), (0, "b")]] {
        assert!(matches!(create(&systems), Err(TrajectoryError::Repeated { .. })), "{systems:?}");
    }
}

#[test]
fn trajectory_writer_error_names_file_and_ends_run() {
    let folder = tempfile::tempdir().unwrap();
    let water = [(0, "water".into())];
    let mut writer = TrajectoryWriter::create(folder.path(), &water, 1, Compression::None).unwrap();
    fs::remove_file(folder.path().join("water.extxyz")).unwrap();
    fs::create_dir(folder.path().join("water.extxyz")).unwrap();
    let state = State::at_rest(&systems(), &mut Springs).unwrap();
    let frame = Frame { state: &state, ids: &[0, 1, 2], conserved_ev: &[0.0; 3] };
    let error = (0..=BUFFER_FRAMES).find_map(|_| writer.observe(frame).err()).unwrap();
    assert!(error.to_string().starts_with("trajectory writer failed at step 0: cannot write"), "{error}");
    assert!(error.to_string().contains("water.extxyz"), "{error}");
}
