use super::*;
use crate::fixtures::CONFIG;

fn parse(text: &str) -> Result<TrainingConfig, TrainError> {
    TrainingConfig::parse(text, Path::new("folder/train.toml"))
}

#[test]
fn training_config_has_documented_defaults() {
    let config = parse(
        "name = 'tiny'\nseed = 1\n[student]\nhidden_dim = 48\nnum_interactions = 3\nnum_rbf = 16\n\
         cutoff_angstrom = 5.0\n[[data]]\nframes = ['a.extxyz']\n[optimiser]\nsteps = 100\n",
    )
    .unwrap();
    assert_eq!(config.resolve(&config.data[0].frames[0]), Path::new("folder/a.extxyz"));
    assert_eq!((config.data[0].repeat, config.start_from), (1, None));
    let o = &config.optimiser;
    assert_eq!((o.batch_size, o.learning_rate, o.final_learning_rate), (8, 1e-3, 1e-6));
    assert_eq!((o.warm_up_steps, o.weight_decay, o.max_gradient_norm), (0, 0.0, 10.0));
    assert_eq!((o.beta1, o.beta2, o.epsilon, o.ema_decay), (0.9, 0.999, 1e-8, 0.999));
    assert_eq!((config.loss.force_weight, config.loss.energy_weight), (1.0, 0.1));
    assert_eq!(config.validation.trajectory_fraction, 0.1);
}

#[test]
fn training_config_round_trips_through_json() {
    let config = parse(CONFIG).unwrap();
    let record = serde_json::to_value(&config).unwrap();
    let back: TrainingConfig = serde_json::from_value(record).unwrap();
    assert_eq!(TrainingConfig { folder: config.folder.clone(), ..back }, config);
}

/// Replacements in a valid file, each with the expected message.
#[test]
fn training_config_errors_name_key_and_line() {
    let line = |needle: &str| 1 + CONFIG[..CONFIG.find(needle).unwrap()].matches('\n').count();
    let cases = [
        ("seed = 3", "sed = 3", "unknown field `sed`"),
        ("seed = 3", "seed = -3", "invalid value: integer `-3`"),
        ("name = \"test\"", "name = \" \"", "expected a name"),
        ("name = \"test\"", "name = \"../test\"", "expected a name of at most 64 letters, digits"),
        ("hidden_dim = 16", "hidden_dim = 0", "found 0, expected at least 1 (in `hidden_dim = 0`)"),
        ("cutoff_angstrom = 4.0", "cutoff_angstrom = -1.0", "found -1, expected a positive number"),
        ("cutoff_angstrom = 4.0", "cutoff_angstrom = nan", "found NaN, expected a positive number"),
        ("frames = [\"water.extxyz.gz\"]", "frames = []", "found no file, expected at least one"),
        ("repeat = 2", "repeat = 0", "found 0, expected at least 1"),
        (
            "trajectory_fraction = 0.2",
            "trajectory_fraction = 1.0",
            "found 1, expected a number between 0 and 1",
        ),
        ("repeat = 2", "repeat = 4000000000", "found 4000000000, expected at most 1000"),
        ("batch_size = 12", "batch_size = 1000000000", "found 1000000000, expected at most 10000"),
        ("every_steps = 6", "every_steps = 0", "expected at least 1"),
        ("every_steps = 6", "patience = 0", "expected at least 1"),
        ("huber_ev_per_angstrom = 1.0", "huber_ev_per_angstrom = 0.0", "found 0, expected a positive number"),
        ("huber_ev_per_angstrom = 1.0", "force_weight = -1", "found -1, expected a positive number"),
        ("huber_ev_per_angstrom = 1.0", "energy_weight = -1", "found -1, expected zero or a positive number"),
        ("batch_size = 12", "batch_size = 'many'", "invalid type: string"),
        ("learning_rate = 0.01", "learning_rate = inf", "found inf, expected a positive number"),
        ("ema_decay = 0.9", "ema_decay = 1.0", "found 1, expected a number from 0 to below 1"),
        ("ema_decay = 0.9", "ema_decay = ", "string values must be quoted"),
        ("log_every_steps = 4", "log_every_steps = 0", "expected at least 1"),
    ];
    for (good, bad, message) in cases {
        let error = parse(&CONFIG.replacen(good, bad, 1)).unwrap_err().to_string();
        let place = format!("folder/train.toml:{}: ", line(good));
        assert!(error.starts_with(&place) && error.contains(message), "{bad}: {error}");
    }
}

#[test]
fn training_config_rejects_contradictory_keys() {
    let cases = [
        ("warm_up_steps = 5", "warm_up_steps = 20"),
        ("final_learning_rate = 0.0001", "final_learning_rate = 1.0"),
    ];
    let message = |text: &str| {
        let error = parse(text).unwrap_err();
        // They concern no single line.
        assert!(matches!(error, TrainError::Config { line: None, .. }), "{error:?}");
        error.to_string()
    };
    let mut messages: Vec<String> =
        cases.iter().map(|(good, bad)| message(&CONFIG.replacen(good, bad, 1))).collect();
    let without_data: String = CONFIG
        .replace("[[data]]\nframes = [\"water.extxyz.gz\"]", "")
        .replace("[[data]]\nframes = [\"methane.extxyz\"]\nrepeat = 2", "");
    messages.push(message(&format!("data = []\n{without_data}")));
    insta::assert_snapshot!(messages.join("\n"));
    let error = TrainingConfig::load(Path::new("absent.toml")).unwrap_err().to_string();
    assert!(error.starts_with("absent.toml: cannot be read"), "{error}");
}

#[test]
fn training_configs_of_repository_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/train");
    for name in ["original", "tiny", "ultra-tiny", "demo"] {
        let config = TrainingConfig::load(&folder.join(format!("{name}.toml"))).unwrap();
        assert_eq!(config.name, name);
    }
}
