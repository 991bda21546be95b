//! The airlines' names, from `airlines.csv`.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::files::Files;

/// Names by carrier code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Airlines(BTreeMap<Box<str>, Box<str>>);

impl Airlines {
    /// Reads `airlines.csv`, or `airlines.csv.gz`.
    ///
    /// # Errors
    /// The file is missing or any of its rows is bad: every day needs the names.
    pub fn load(files: &Files) -> Result<Self, Fault> {
        let mut rows = files.rows("airlines")?;
        let carrier = rows.column("carrier")?;
        let name = rows.column("name")?;
        let mut names = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let read = || {
                row.check_form()?;
                Ok((carrier.needed_text(&row)?, name.needed_text(&row)?))
            };
            let (carrier, name) = read().map_err(|reason| row.fault(reason))?;
            names.insert(carrier.into(), name.into());
        }
        Ok(Self(names))
    }

    /// A carrier's name; empty when it has none.
    #[must_use]
    pub fn name(&self, carrier: &str) -> &str {
        self.0.get(carrier).map_or("", |name| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Airlines, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("airlines.csv"), text).unwrap();
        let files = Files::of_directory(dir.path()).unwrap();
        Airlines::load(&files).map_err(|fault| fault.to_string())
    }

    #[test]
    fn names_are_found_and_unknown_carriers_have_none() {
        let airlines = load("carrier,name\nAA,\"American, \"\"Inc.\"\"\"\n").unwrap();
        assert_eq!(airlines.name("AA"), "American, \"Inc.\"");
        assert_eq!(airlines.name("ZZ"), "");
    }

    #[test]
    fn a_bad_row_is_the_end_of_it() {
        let error = load("carrier,name\nAA,American\nBB\n").unwrap_err();
        assert!(
            error.ends_with("airlines.csv:3: 1 field where 2 are expected"),
            "{error}"
        );
        assert!(load("carrier,name\n,Nobody\n").is_err());
    }
}
