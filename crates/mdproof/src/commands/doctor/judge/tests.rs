use super::*;
use crate::commands::doctor::readings::*;
use crate::commands::doctor::render;

/// Readings of a machine with one free GPU and a program built for it, without any warning or problem.
fn sound() -> Readings {
    let loaded = Loading::Loaded {
        architecture: "painn".to_owned(),
        parameters: 21289,
        precision: "f32".to_owned(),
        device: "cuda".to_owned(),
        device_refused: None,
        assumptions: Vec::new(),
    };
    let structure =
        DataFile { path: "water.xyz".to_owned(), kind: Kind::Structure, frames: Reading::Count(1) };
    let reference =
        DataFile { path: "water.extxyz.gz".to_owned(), kind: Kind::Reference, frames: Reading::Count(32) };
    let measured = |implementation: &str| Called::Measured {
        calls_per_s: 12345.6,
        force_difference_ev_per_angstrom: 1e-6,
        implementation: implementation.to_owned(),
    };
    Readings {
        cpu: Cpu { model: Some("EPYC".to_owned()), threads: 8, vector_instructions: vec!["AVX2", "AVX-512"] },
        memory: Some(Memory { total_mib: 65536.0, available_mib: 32768.0 }),
        disk: Some(Disk { folder: "out".to_owned(), total_mib: 1e6, free_mib: 5e5 }),
        nvidia: Nvidia::Present {
            version: "550.54".to_owned(),
            cuda: Some("12.4".to_owned()),
            gpus: vec![Gpu {
                index: 0,
                name: "H100".to_owned(),
                memory: GpuMemory::Known { total_mib: 81920.0, free_mib: 81000.0 },
                processes: Vec::new(),
            }],
        },
        build: Build { cuda: true, wgpu: false },
        campaign: Some(Campaign {
            file: "m.toml".to_owned(),
            plan: Plan::Runs(12),
            models: vec![Model { name: "tiny".to_owned(), outcome: loaded }],
            molecules: vec![Molecule {
                name: "water".to_owned(),
                atoms: Reading::Count(3),
                files: vec![structure, reference],
            }],
        }),
        forces: Forces {
            network: "the campaign's 'tiny'".to_owned(),
            molecule: "water".to_owned(),
            atoms: 3,
            devices: vec![
                Calls { device: "cpu", outcome: measured("native-f32") },
                Calls { device: "cuda", outcome: measured("cubecl-cuda-f32") },
                Calls { device: "wgpu", outcome: Called::Absent("built without it".to_owned()) },
            ],
        },
    }
}

fn edit(change: impl FnOnce(&mut Readings)) -> Vec<Item> {
    let mut readings = sound();
    change(&mut readings);
    judge(&readings)
}

/// Returns the only item that is not OK, and asserts that it has advice.
fn only_complaint(items: &[Item]) -> &Item {
    let complaints: Vec<&Item> = items.iter().filter(|item| item.status != Status::Ok).collect();
    let [complaint] = complaints.as_slice() else { panic!("{complaints:#?}") };
    assert!(complaint.advice.as_ref().is_some_and(|advice| advice.len() > 10), "{complaint:?}");
    complaint
}

/// Returns what the only item that is not OK says.
fn complaint(items: &[Item]) -> String {
    let item = only_complaint(items);
    format!("{}: {}\n-> {}", item.subject, item.found, item.advice.as_deref().unwrap_or_default())
}

fn gpu_with(free_mib: f64, processes: Vec<GpuProcess>) -> Vec<Item> {
    edit(|r| {
        if let Nvidia::Present { gpus, .. } = &mut r.nvidia {
            gpus[0].memory = GpuMemory::Known { total_mib: 1000.0, free_mib };
            gpus[0].processes = processes;
        }
    })
}

fn model(outcome: Loading) -> Vec<Item> {
    edit(|r| r.campaign.as_mut().unwrap().models[0].outcome = outcome)
}

#[test]
fn render_of_sound_and_faulty_machine() {
    let python = GpuProcess { pid: 4711, name: Some("python".to_owned()), memory_mib: Some(480.0) };
    let faulty = edit(|r| {
        r.disk = Some(Disk { folder: "out".to_owned(), total_mib: 1e6, free_mib: 20.0 });
        if let Nvidia::Present { gpus, .. } = &mut r.nvidia {
            gpus[0].memory = GpuMemory::Known { total_mib: 1000.0, free_mib: 500.0 };
            gpus[0].processes = vec![python];
        }
        let campaign = r.campaign.as_mut().unwrap();
        campaign.models[0].outcome = Loading::Failed("checkpoint tiny: cannot be read".to_owned());
        campaign.molecules[0].files[1].frames = Reading::Failed("line 7: 3 atoms expected".to_owned());
        r.forces.devices[1].outcome = Called::Failed("out of memory".to_owned());
    });
    let [sound, faulty] = [judge(&sound()), faulty].map(|items| render::render(&items, false));
    insta::assert_snapshot!(format!("{sound}\n{faulty}"));
}

#[test]
fn judge_of_sound_machine_is_ok() {
    let items = judge(&sound());
    assert_eq!(worst(&items), Status::Ok);
    assert!(items.iter().all(|item| item.advice.is_none()), "{items:#?}");
    let found: Vec<&str> = items.iter().map(|item| item.found.as_str()).collect();
    assert!(found.contains(&"EPYC; 8 threads; AVX2, AVX-512"), "{found:#?}");
    assert!(found.contains(&"3 atoms; reference: 32 frames in 1 file"), "{found:#?}");
}

#[test]
fn judge_warns_of_gpu_in_use_and_names_processes() {
    let python = GpuProcess { pid: 4711, name: Some("python".to_owned()), memory_mib: Some(480.0) };
    let items = gpu_with(500.0, vec![python, GpuProcess { pid: 12, name: None, memory_mib: None }]);
    let gpu = only_complaint(&items);
    assert_eq!((gpu.subject.as_str(), gpu.status), ("GPU 0", Status::Warning));
    assert_eq!(worst(&gpu_with(800.0, Vec::new())), Status::Ok);
    let unseen = complaint(&gpu_with(799.0, Vec::new()));
    insta::assert_snapshot!(format!("{}\n{unseen}", complaint(&items)));
}

#[test]
fn judge_accepts_absent_driver_and_warns_of_broken_one() {
    let items = edit(|r| r.nvidia = Nvidia::Absent { reason: "no libnvidia-ml".to_owned() });
    assert_eq!(worst(&items), Status::Ok);
    assert!(items.iter().any(|item| item.found == "none: no libnvidia-ml"), "{items:#?}");
    let broken = edit(|r| r.nvidia = Nvidia::Broken { error: "version mismatch".to_owned() });
    let items = edit(|r| {
        if let Nvidia::Present { gpus, .. } = &mut r.nvidia {
            gpus[0].memory = GpuMemory::Unknown { error: "lost".to_owned() };
        }
    });
    assert_eq!(only_complaint(&items).status, Status::Warning);
    insta::assert_snapshot!(format!("{}\n{}", complaint(&broken), complaint(&items)));
}

#[test]
fn judge_warns_of_gpu_without_cuda_build() {
    let items = edit(|r| r.build.cuda = false);
    insta::assert_snapshot!(complaint(&items));
}

#[test]
fn judge_failed_checkpoint_is_problem_missing_is_warning() {
    let failed = model(Loading::Failed("cannot be read".to_owned()));
    assert_eq!(only_complaint(&failed).status, Status::Problem);
    let missing = model(Loading::NotGiven);
    assert_eq!(only_complaint(&missing).status, Status::Warning);
    let refused = model(Loading::Loaded {
        architecture: "painn".to_owned(),
        parameters: 1,
        precision: "f32".to_owned(),
        device: "cpu".to_owned(),
        device_refused: Some("no CUDA".to_owned()),
        assumptions: vec!["elements are not listed".to_owned()],
    });
    assert_eq!(only_complaint(&refused).status, Status::Warning);
    insta::assert_snapshot!([failed, missing, refused].map(|items| complaint(&items)).join("\n"));
}

#[test]
fn judge_reports_unreadable_file_once_by_name() {
    let items = edit(|r| {
        let water = &mut r.campaign.as_mut().unwrap().molecules[0];
        water.files[1].frames = Reading::Failed("line 7 is cut off".to_owned());
        // Loading the molecule fails with the same error.
        water.atoms = Reading::Failed("molecule: line 7 is cut off".to_owned());
    });
    let broken = only_complaint(&items);
    assert_eq!((broken.subject.as_str(), broken.status), ("water.extxyz.gz", Status::Problem));
    let items = edit(|r| {
        r.campaign.as_mut().unwrap().molecules[0].atoms = Reading::Failed("other atoms".to_owned());
    });
    assert_eq!(only_complaint(&items).subject, "molecule water");
    let items = edit(|r| r.campaign.as_mut().unwrap().plan = Plan::Failed("line 3".to_owned()));
    assert_eq!(only_complaint(&items).status, Status::Problem);
}

#[test]
fn judge_reports_wrong_or_nan_forces_as_problem() {
    let cuda = |outcome| edit(|r| r.forces.devices[1].outcome = outcome);
    let with = |force_difference_ev_per_angstrom| {
        cuda(Called::Measured {
            calls_per_s: 1.0,
            force_difference_ev_per_angstrom,
            implementation: String::new(),
        })
    };
    for items in [with(0.02), with(f64::NAN), cuda(Called::Failed("out of memory".to_owned()))] {
        let wrong = only_complaint(&items);
        assert_eq!((wrong.subject.as_str(), wrong.status), ("forces on cuda", Status::Problem));
    }
    assert_eq!(worst(&with(0.01)), Status::Ok);
}

#[test]
fn judge_warns_of_small_memory_disk_or_old_cpu() {
    let memory = |available_mib| edit(|r| r.memory = Some(Memory { total_mib: 2000.0, available_mib }));
    assert_eq!(only_complaint(&memory(900.0)).subject, "memory");
    assert_eq!(worst(&memory(1100.0)), Status::Ok);
    let disk = |free_mib| edit(|r| r.disk.as_mut().unwrap().free_mib = free_mib);
    assert_eq!(only_complaint(&disk(900.0)).status, Status::Warning);
    assert_eq!(only_complaint(&disk(10.0)).status, Status::Problem);
    assert_eq!(only_complaint(&edit(|r| r.disk = None)).status, Status::Warning);
    assert_eq!(only_complaint(&edit(|r| r.memory = None)).status, Status::Warning);
    assert_eq!(only_complaint(&edit(|r| r.cpu.vector_instructions.clear())).subject, "CPU");
}
