//! The per-atom lines: parsing of `Properties` and of the columns it declares.

use std::collections::BTreeSet;

use md_core::{Element, ElementError, Vec3};

use super::error::{XyzProblem, excerpt};

const PLAIN: &str = "species:S:1:pos:R:3";

/// Positions in a line of the columns that are used, counted from 0.
#[derive(Debug)]
pub(super) struct Columns {
    element: ElementColumn,
    positions: usize,
    masses: Option<usize>,
    velocities: Option<usize>,
    forces: Option<usize>,
    /// Number of columns of a line.
    width: usize,
    /// Whether more columns are an error.
    exactly: bool,
    names: Vec<String>,
    /// Names of the columns that are not used.
    other_names: Vec<String>,
    /// Whether numbers in place of elements are types of atoms, not atomic numbers.
    type_ids: bool,
}

#[derive(Debug)]
enum ElementColumn {
    Species(usize),
    Z(usize),
    Both { species: usize, z: usize },
}

impl Columns {
    /// Parses the columns from the value of `Properties`, or of plain XYZ. `forces` is the name of the force column.
    pub(super) fn parse(properties: Option<&str>, forces: &str) -> Result<Self, XyzProblem> {
        let text = properties.unwrap_or(PLAIN);
        Self::parse_properties(text, forces)
            .map(|columns| Columns { exactly: properties.is_some(), ..columns }) // plain files may have more columns
            .map_err(|reason| XyzProblem::Properties { found: excerpt(text), reason })
    }

    fn parse_properties(text: &str, forces: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split(':').collect();
        let (triplets, []) = fields.as_chunks::<3>() else {
            return Err(format!("{} fields are no triplets", fields.len()));
        };
        let (mut species, mut z, mut positions) = (None, None, None);
        let (mut masses, mut velocities, mut force_column) = (None, None, None);
        let mut width_so_far = 0_usize;
        let mut seen = BTreeSet::new();
        let mut other_names = Vec::new();
        for &[name, kind, width] in triplets {
            let shown = excerpt(name);
            if !seen.insert(name) {
                return Err(format!("the column '{shown}' is declared twice"));
            }
            if !matches!(kind, "R" | "I" | "S" | "L") {
                return Err(format!("'{shown}' has the type '{}', not R, I, S or L", excerpt(kind)));
            }
            let n = width.parse().ok().filter(|&n: &usize| n > 0);
            let end = n.and_then(|n| width_so_far.checked_add(n));
            let (Some(n), Some(end)) = (n, end) else {
                return Err(format!("'{shown}' has the width '{}', not a number from 1", excerpt(width)));
            };
            let (place, expected) = match name {
                "species" => (&mut species, ("S", 1)),
                "Z" => (&mut z, ("I", 1)),
                "pos" => (&mut positions, ("R", 3)),
                // ASE's name, and that of the specification of libAtoms.
                "masses" | "mass" if masses.is_some() => {
                    return Err("both 'mass' and 'masses' are declared".into());
                }
                "masses" | "mass" => (&mut masses, ("R", 1)),
                "velocities" => (&mut velocities, ("R", 3)),
                _ if name == forces => (&mut force_column, ("R", 3)),
                _ => {
                    other_names.push(name.to_owned());
                    (&mut None, (kind, n))
                }
            };
            if (kind, n) != expected {
                return Err(format!("'{shown}' is {kind}:{n}, not {}:{}", expected.0, expected.1));
            }
            *place = Some(width_so_far);
            width_so_far = end;
        }
        Ok(Columns {
            element: match (species, z) {
                (Some(species), Some(z)) => ElementColumn::Both { species, z },
                (Some(species), None) => ElementColumn::Species(species),
                (None, Some(z)) => ElementColumn::Z(z),
                (None, None) => return Err("neither 'species' nor 'Z' is declared".into()),
            },
            positions: positions.ok_or("'pos' is not declared")?,
            masses,
            velocities,
            forces: force_column,
            width: width_so_far,
            exactly: true,
            names: triplets.iter().map(|&[name, ..]| name.to_owned()).collect(),
            other_names,
            type_ids: false,
        })
    }

    pub(super) fn has_forces(&self) -> bool {
        self.forces.is_some()
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn other_names(&self) -> &[String] {
        &self.other_names
    }

    /// Says that the file is a dump of LAMMPS, whose atoms may have types instead of elements.
    pub(super) fn with_type_ids(self) -> Self {
        Columns { type_ids: true, ..self }
    }

    /// Reads the line of one atom.
    pub(super) fn read_atom(&self, line: &str, atoms: &mut Atoms) -> Result<(), XyzProblem> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.len() < self.width || (self.exactly && fields.len() > self.width) {
            return Err(XyzProblem::Columns {
                found: fields.len(),
                expected: self.width,
                exactly: self.exactly,
            });
        }
        let vector = |at: usize, expected| -> Result<Vec3, XyzProblem> {
            Ok(Vec3::new(
                number(fields[at], expected)?,
                number(fields[at + 1], expected)?,
                number(fields[at + 2], expected)?,
            ))
        };
        atoms.elements.push(self.element(&fields)?);
        atoms.positions.push(vector(self.positions, "a finite coordinate in Å")?);
        if let Some(at) = self.masses {
            atoms.masses_amu.push(number(fields[at], "a finite mass in amu")?);
        }
        if let Some(at) = self.velocities {
            atoms.velocities.push(vector(at, "a finite velocity in Å/fs")?);
        }
        if let Some(at) = self.forces {
            atoms.forces.push(vector(at, "a finite force in eV/Å")?);
        }
        Ok(())
    }

    fn element(&self, fields: &[&str]) -> Result<Element, XyzProblem> {
        match self.element {
            ElementColumn::Species(at) => self.element_of_species(fields[at]),
            ElementColumn::Z(at) => element_of_number(fields[at]),
            ElementColumn::Both { species, z } => {
                let (species, z) = (self.element_of_species(fields[species])?, element_of_number(fields[z])?);
                if species == z { Ok(species) } else { Err(XyzProblem::ElementConflict { species, z }) }
            }
        }
    }

    /// Reads a symbol or, as some programs write, an atomic number.
    fn element_of_species(&self, text: &str) -> Result<Element, XyzProblem> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match is_number {
            true if self.type_ids => Err(XyzProblem::TypeId { found: excerpt(text) }),
            true => element_of_number(text),
            false => element_of_symbol(text),
        }
    }
}

/// The columns of the atoms read so far; empty if the file has no such column.
#[derive(Debug, Default)]
pub(super) struct Atoms {
    pub(super) elements: Vec<Element>,
    pub(super) positions: Vec<Vec3>,
    pub(super) masses_amu: Vec<f64>,
    pub(super) velocities: Vec<Vec3>,
    pub(super) forces: Vec<Vec3>,
}

/// Parses a finite number. The exponent may begin with a D, as Fortran writes it.
pub(super) fn number(text: &str, expected: &'static str) -> Result<f64, XyzProblem> {
    text.parse()
        .ok()
        .or_else(|| text.replacen(['d', 'D'], "e", 1).parse().ok())
        .filter(|x: &f64| x.is_finite())
        .ok_or_else(|| XyzProblem::Number { found: excerpt(text), expected })
}

/// Accepts any case (`CL`, `cl`), as ASE does.
fn element_of_symbol(text: &str) -> Result<Element, XyzProblem> {
    let mut symbol = text.to_ascii_lowercase();
    if let Some(first) = symbol.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    symbol.parse().map_err(|_| ElementError::UnknownSymbol(excerpt(text)).into())
}

fn element_of_number(text: &str) -> Result<Element, XyzProblem> {
    let z = text
        .parse()
        .map_err(|_| XyzProblem::Number { found: excerpt(text), expected: "an atomic number" })?;
    Ok(Element::from_atomic_number(z)?)
}
