mod accuracy;
mod amount;
mod gates;
mod runs;

use md_results::GateId;

use super::{Bound, Criterion, EngineThreshold, Evidence, Finding, Scope, Subject, Theme};

/// Source of the bars that the project began with.
const MISSION: &str = "bar of the project's first campaign";

/// Creates a criterion of dynamics, accuracy or speed: at most `default`, for each molecule.
const fn row(
    key: &'static str,
    title: &'static str,
    definition: &'static str,
    unit: &'static str,
    default: Option<f64>,
    theme: Theme,
    source: &'static str,
    measure: fn(&Subject<'_>) -> Finding,
) -> Criterion {
    Criterion {
        key,
        title,
        definition,
        unit,
        bound: Bound::AtMost,
        default,
        applies: always,
        source,
        scope: Scope::Molecule,
        theme,
        evidence: Evidence::Function(measure),
        engine: None,
    }
}

/// Creates the criterion of a physics gate: at most `default`, for each molecule.
const fn gate(
    id: GateId,
    key: &'static str,
    title: &'static str,
    definition: &'static str,
    default: f64,
    theme: Theme,
    source: &'static str,
) -> Criterion {
    Criterion {
        key,
        title,
        definition,
        unit: id.unit(),
        bound: Bound::AtMost,
        default: Some(default),
        applies: always,
        source,
        scope: Scope::Molecule,
        theme,
        evidence: Evidence::Gate(id),
        engine: if id.is_asked_of_control() { Some(EngineThreshold::Default) } else { None },
    }
}

/// Creates the criterion of a gate that is a barrier: at least the reach of the use, for each molecule.
const fn barrier(
    id: GateId,
    key: &'static str,
    title: &'static str,
    definition: &'static str,
    theme: Theme,
) -> Criterion {
    Criterion {
        unit: "",
        bound: Bound::AtLeast,
        evidence: Evidence::Barrier(id),
        ..gate(id, key, title, definition, 1.0, theme, REACH)
    }
}

/// The one formula for what can be reached ([`reach_ev`](crate::reach_ev)).
const REACH: &str = "a barrier of k_B T ln(10¹³/s · t) is crossed about once in the time t; T is the hottest measured mean of \
                     the runs at constant energy that count, t the `time_ns` of the use, 1000 ns by default, since runs of a \
                     microsecond are made with force fields this fast: 0.69 eV at 500 K";

impl Criterion {
    const fn at_least(self) -> Self {
        Criterion { bound: Bound::AtLeast, ..self }
    }

    const fn engine(self, threshold: EngineThreshold) -> Self {
        Criterion { engine: Some(threshold), ..self }
    }

    const fn of_element_pairs(self) -> Self {
        Criterion { scope: Scope::ElementPairs, ..self }
    }

    const fn only_where_asked(self) -> Self {
        Criterion { default: None, ..self }
    }

    const fn where_given(self, applies: fn(&Subject<'_>) -> bool) -> Self {
        Criterion { applies, ..self }
    }
}

fn always(_: &Subject<'_>) -> bool {
    true
}

const TABLES: [&[Criterion]; 4] = [runs::ROWS, accuracy::ROWS, amount::ROWS, gates::ROWS];

const LENGTH: usize = TABLES[0].len() + TABLES[1].len() + TABLES[2].len() + TABLES[3].len();

static JOINED: [Criterion; LENGTH] = {
    let mut all = [runs::ROWS[0]; LENGTH];
    let (mut k, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].len() {
            all[k] = TABLES[table][row];
            (k, row) = (k + 1, row + 1);
        }
        table += 1;
    }
    all
};

/// Every criterion, in the order of the dashboard.
pub static ALL: &[Criterion] = &JOINED;
