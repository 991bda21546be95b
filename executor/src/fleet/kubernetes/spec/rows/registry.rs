//! An image that podpool makes of this program: where it is pushed, and on what it is put.

use super::super::given::{fill, fill_list, word, words};
use super::super::row::{Row, list, one};

pub(super) const ROWS: [Row; 3] = [
    Row::new("registry", "PODPOOL_REGISTRY", "registry", |spec, given| {
        fill(&mut spec.registry, given, word)
    })
    .check(super::super::registry::check_registry)
    .shown(|spec| one(spec.registry.as_ref(), Clone::clone)),
    Row::new(
        "base_image",
        "PODPOOL_BASE_IMAGE",
        "base_image",
        |spec, given| fill(&mut spec.base_image, given, word),
    )
    .check(super::super::registry::check_base_image)
    .shown(|spec| one(spec.base_image.as_ref(), Clone::clone)),
    Row::new(
        "registry_insecure",
        "PODPOOL_REGISTRY_INSECURE",
        "registry_insecure",
        |spec, given| fill_list(&mut spec.registry_insecure, given, words),
    )
    .check(super::super::registry::check_insecure)
    .shown(|spec| list(&spec.registry_insecure, Clone::clone)),
];
