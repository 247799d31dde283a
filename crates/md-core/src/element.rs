use std::fmt;
use std::str::FromStr;

use crate::element_table::{Row, TABLE};

/// A chemical element, hydrogen (1) to oganesson (118).
///
/// ```
/// use md_core::Element;
/// let carbon: Element = "C".parse().unwrap();
/// assert_eq!((carbon.atomic_number(), carbon.symbol()), (6, "C"));
/// assert_eq!(carbon.mass_amu(), 12.011);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Element(u8);

/// The error for an input that is not an element.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// The symbol is not that of an element.
    #[error("'{0}' is not the symbol of a chemical element (expected one such as H, C or Cl)")]
    UnknownSymbol(String),
    /// The atomic number is outside 1 to 118.
    #[error("{0} is not an atomic number (expected 1 to 118)")]
    UnknownNumber(i64),
}

impl Element {
    /// Hydrogen.
    pub const H: Element = Element(1);
    /// Carbon.
    pub const C: Element = Element(6);
    /// Nitrogen.
    pub const N: Element = Element(7);
    /// Oxygen.
    pub const O: Element = Element(8);
    /// Argon.
    pub const AR: Element = Element(18);

    /// Returns the element with atomic number `number` (1 to 118).
    ///
    /// # Errors
    /// [`ElementError::UnknownNumber`] outside that range.
    pub fn from_atomic_number(number: i64) -> Result<Self, ElementError> {
        match u8::try_from(number) {
            Ok(z @ 1..=118) => Ok(Element(z)),
            _ => Err(ElementError::UnknownNumber(number)),
        }
    }

    /// Atomic number Z, 1 to 118.
    pub fn atomic_number(self) -> u8 {
        self.0
    }

    /// Chemical symbol, such as `"Cl"`.
    pub fn symbol(self) -> &'static str {
        self.row().symbol
    }

    /// Standard atomic mass in amu (IUPAC 2016).
    pub fn mass_amu(self) -> f64 {
        self.row().mass_amu
    }

    /// Covalent radius in Å (Cordero et al. 2008), `None` beyond curium.
    pub fn covalent_radius_angstrom(self) -> Option<f64> {
        self.row().covalent_radius_angstrom
    }

    fn row(self) -> &'static Row {
        &TABLE[usize::from(self.0) - 1]
    }
}

impl FromStr for Element {
    type Err = ElementError;

    fn from_str(symbol: &str) -> Result<Self, ElementError> {
        (1..=118u8)
            .map(Element)
            .find(|e| e.symbol() == symbol)
            .ok_or_else(|| ElementError::UnknownSymbol(symbol.to_owned()))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_round_trips_by_symbol_and_number() {
        for z in 1..=118 {
            let element = Element::from_atomic_number(z).unwrap();
            assert_eq!(element.symbol().parse::<Element>().unwrap(), element);
            assert!(element.mass_amu() > 1.0);
        }
        assert_eq!(Element::AR.symbol(), "Ar");
    }

    #[test]
    fn element_from_symbol_or_number_rejects_unknown() {
        assert_eq!("Xx".parse::<Element>().unwrap_err(), ElementError::UnknownSymbol("Xx".into()));
        for number in [-1, 0, 119, 300] {
            assert_eq!(Element::from_atomic_number(number), Err(ElementError::UnknownNumber(number)));
        }
    }
}
