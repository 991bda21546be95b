//! What counts for workers, and where it comes from.

use super::KubernetesOptions;
#[cfg(feature = "kubernetes")]
use crate::client::builder::cluster_option;
#[cfg(not(feature = "kubernetes"))]
use crate::client::builder::feature_missing;
use crate::error::BuildError;
use crate::fleet::worker_spec::Setting;

impl KubernetesOptions {
    /// Every setting of workers as `build()` would use it: its value, and whether it comes from the program, a
    /// variable, `podpool.toml`, the pod template, or is the default. Settings that have no value are left out.
    /// Values of the workers' variables are not shown. What `patch_pod` changes is not seen.
    ///
    /// ```no_run
    /// use podpool::options::KubernetesOptions;
    ///
    /// # fn main() -> Result<(), podpool::error::BuildError> {
    /// for setting in KubernetesOptions::default().settings()? {
    ///     println!("{setting}"); // cpu = 500m (PODPOOL_CPU)
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`BuildError::Setting`]: a variable, the file or the template cannot be read. Whether a value can be used is
    /// checked by `build()`. Without the feature `kubernetes` [`BuildError::FeatureMissing`].
    pub fn settings(&self) -> Result<Vec<Setting>, BuildError> {
        #[cfg(not(feature = "kubernetes"))]
        return Err(feature_missing());
        #[cfg(feature = "kubernetes")]
        {
            let spec = self.spec.clone().resolved().map_err(cluster_option)?;
            Ok(spec.settings())
        }
    }
}
