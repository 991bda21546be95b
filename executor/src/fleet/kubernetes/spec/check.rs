//! Settings that cannot be used, found before anything is made: each by its row, and those that do not go together.

use super::row::{Check, Wrong};
use super::{SpecError, WorkerSpec, rows};

impl WorkerSpec {
    /// Checks everything that can be checked without a cluster.
    ///
    /// # Errors
    /// [`SpecError`] for the first setting that cannot be used.
    pub fn check(&self) -> Result<(), SpecError> {
        for row in rows() {
            refuse(row.option, (row.check)(self))?;
        }
        self.check_paths()?;
        self.check_variables()
    }

    /// Two volumes at one path: the second would hide the first.
    fn check_paths(&self) -> Result<(), SpecError> {
        let secrets = self
            .secret_files
            .iter()
            .map(|it| ("secret_file", &*it.path));
        let maps = self.config_map_files.iter();
        let maps = maps.map(|it| ("config_map_file", &*it.path));
        let claims = self.claims.iter().map(|it| ("pvc", &*it.path));
        let ephemeral = self.ephemeral_volumes.iter();
        let ephemeral = ephemeral.map(|it| ("ephemeral_volume", &*it.path));
        let memory = self.tmpfs.iter().map(|it| ("tmpfs", &*it.path));
        let shm = self.shm.iter().map(|_| ("shm", "/dev/shm"));
        let all = secrets.chain(maps).chain(claims);
        let all: Vec<_> = all.chain(ephemeral).chain(memory).chain(shm).collect();
        for (number, (option, path)) in all.iter().enumerate() {
            let other = all[..number].iter().find(|(_, other)| other == path);
            if let Some((other, _)) = other {
                let reason = format!("{other} has something at this path already");
                return Err(SpecError::new(option, path, reason));
            }
        }
        Ok(())
    }

    /// Two values of one variable: it is not clear which is meant.
    fn check_variables(&self) -> Result<(), SpecError> {
        let secrets = self.secret_env.keys().map(|name| ("secret_env", name));
        let maps = self.config_map_env.keys();
        let maps = maps.map(|name| ("config_map_env", name));
        let plain = self.env.iter().map(|(name, _)| ("env", name));
        let all: Vec<_> = secrets.chain(maps).chain(plain).collect();
        for (number, (option, name)) in all.iter().enumerate() {
            // Of two values of `env` itself the last one counts, as it always did.
            let other = all[..number]
                .iter()
                .find(|(other, set)| set == name && other != option);
            if let Some((other, _)) = other {
                let reason = format!("{other} sets this variable already");
                return Err(SpecError::new(option, name, reason));
            }
        }
        Ok(())
    }
}

fn refuse(option: &str, check: Check) -> Result<(), SpecError> {
    check.map_err(|Wrong { value, reason }| SpecError::new(option, value, reason))
}
