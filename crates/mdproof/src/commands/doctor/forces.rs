//! Calls for forces during one second on every device.

use std::collections::BTreeMap;

use anyhow::Result;
use md_bench::Protocol;
use md_core::{Element, System, Vec3};
use md_driver::in_full;
use md_driver::progress::Progress;
use md_model::{Architecture, Checkpoint, CheckpointError, Gpu, PainnHyperparameters, Precision, Student};
use md_probe::random::SplitMix64;

use super::readings::{Build, Called, Calls, Forces};

/// Duration of the calls on each device, s.
const SECONDS: f64 = 1.0;

/// Seed of the network used without a model.
const SEED: u64 = 1;

/// Maximum displacement of every atom along each axis before forces are compared, Å: at a symmetric structure a network
/// may have a kink, where the force is undefined.
const DISPLACEMENT_ANGSTROM: f64 = 0.1;

/// Bond length of methane, Å.
const CH_ANGSTROM: f64 = 1.09;

/// A network, and the molecule it is evaluated on.
pub(super) struct Subject {
    /// Description of the network.
    pub(super) network: String,
    pub(super) checkpoint: Checkpoint,
    pub(super) precision: Precision,
    pub(super) molecule: String,
    pub(super) system: System,
}

impl Subject {
    /// Creates an untrained network: its forces are meaningless but cost as much as those of a model of its size.
    fn stand_in() -> Result<Self> {
        let sizes = PainnHyperparameters {
            hidden_dim: 64,
            num_interactions: 3,
            num_rbf: 20,
            cutoff: 5.0,
            reference_energies_ev: BTreeMap::from(["H", "C"].map(|element| (element.to_owned(), 0.0))),
        };
        let corner = CH_ANGSTROM / 3.0_f64.sqrt();
        let signs = [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]];
        let hydrogens = signs.iter().map(|&[x, y, z]| Vec3::new(x, y, z) * corner);
        let positions = std::iter::once(Vec3::zeros()).chain(hydrogens).collect();
        let elements = [vec![Element::C], vec![Element::H; 4]].concat();
        Ok(Subject {
            network: format!("a network of this program's own, untrained, of seed {SEED}"),
            checkpoint: Checkpoint::untrained(&Architecture::Painn(sizes), SEED)?,
            precision: Precision::F32,
            molecule: "methane".to_owned(),
            system: System::new(elements, positions)?,
        })
    }
}

/// Evaluates the forces of `subject`, or of an untrained network, on all devices.
pub(super) fn measure(subject: Option<Subject>, build: &Build, progress: &dyn Progress) -> Forces {
    let subject = match subject.map_or_else(Subject::stand_in, Ok) {
        Ok(subject) => subject,
        Err(error) => {
            let outcome = Called::Failed(in_full(error.as_ref()));
            let devices = vec![Calls { device: "cpu", outcome }];
            return Forces { network: String::new(), molecule: String::new(), atoms: 0, devices };
        }
    };
    let ticker = progress.stage("forces", 3);
    let devices =
        [("cpu", None, true), ("cuda", Some(Gpu::Cuda), build.cuda), ("wgpu", Some(Gpu::Wgpu), build.wgpu)]
            .map(|(device, gpu, is_built)| {
                let outcome = if is_built {
                    call(&subject, gpu).unwrap_or_else(|error| Called::Failed(in_full(error.as_ref())))
                } else {
                    Called::Absent(format!("this program was built without it (cargo's feature `{device}`)"))
                };
                ticker.tick();
                Calls { device, outcome }
            })
            .to_vec();
    let Subject { network, checkpoint, precision, molecule, system } = subject;
    let network = format!(
        "{network} ({}, {} parameters, {precision})",
        checkpoint.architecture().model_type(),
        checkpoint.parameter_count()
    );
    Forces { network, molecule, atoms: system.n_atoms(), devices }
}

fn call(subject: &Subject, gpu: Option<Gpu>) -> Result<Called> {
    let Subject { checkpoint, precision, system, .. } = subject;
    let built = match gpu {
        None => Student::new(checkpoint, *precision),
        Some(gpu) => Student::on_gpu(checkpoint, *precision, gpu),
    };
    let mut student = match built {
        Ok(student) => student,
        Err(CheckpointError::NoDevice { reason, .. }) => return Ok(Called::Absent(reason)),
        Err(error) => return Err(error.into()),
    };
    let mut random = SplitMix64::new(SEED);
    let displaced = system.positions().iter().map(|x| x + random.in_cube(DISPLACEMENT_ANGSTROM)).collect();
    let displaced = system.clone().with_positions(displaced)?;
    let mut plain = Student::reference(checkpoint, Precision::F64)?;
    let difference = md_probe::difference(&mut plain, &mut student, &displaced)?;
    let protocol = Protocol { max_calls: usize::MAX, max_seconds: SECONDS, ..Protocol::default() };
    let timing = md_bench::measure(&mut student, std::slice::from_ref(system), &protocol)?;
    Ok(Called::Measured {
        calls_per_s: 1e3 / timing.ms_per_call_p50,
        force_difference_ev_per_angstrom: difference.force_ev_per_angstrom,
        implementation: format!("{}-{precision}", student.implementation()),
    })
}
