//! Formatting of numbers, identical in all output formats.

/// Formats a number with its unit, if it has one.
pub fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

/// Formats a number with four significant digits.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&magnitude) {
        let digits = usize::try_from(3 - magnitude.log10().floor() as i32).unwrap_or(0);
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.1e}").replace(".0e", "e")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_formats_four_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (10.0, "10"),
            (0.2, "0.2"),
            (1.23456, "1.235"),
            (-0.05, "-0.05"),
            (12345.6, "12346"),
            (1e-4, "1e-4"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!((with_unit(0.5, ""), with_unit(0.5, "eV")), ("0.5".to_owned(), "0.5 eV".to_owned()));
    }
}
