//! Which names are read, and which are refused with what to write.

use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_registry_has_a_host_and_may_have_a_path() {
    for (text, registry, repository) in [
        ("registry.example/team", "registry.example", "team"),
        ("localhost:5000", "localhost:5000", ""),
        ("localhost", "localhost", ""),
        ("10.0.0.1:5000/a/b/", "10.0.0.1:5000", "a/b"),
        ("[::1]:5000/x", "[::1]:5000", "x"),
        ("Registry.Example/team", "registry.example", "team"),
        ("index.docker.io/team", "docker.io", "team"),
        (
            "europe-docker.pkg.dev/my-project/images",
            "europe-docker.pkg.dev",
            "my-project/images",
        ),
    ] {
        let place = Place::registry(text).unwrap();
        assert_eq!(
            (&*place.registry, &*place.repository),
            (registry, repository)
        );
    }
}

#[test]
fn what_is_no_registry_is_refused_with_what_to_write() {
    for text in [
        "",
        "team",
        "team/x",
        "https://registry.example/x",
        "a b.example",
        "x.example:0",
        "x.example:99999",
    ] {
        let reason = Place::registry(text).unwrap_err();
        assert!(reason.contains("registry.example/team"), "{text}: {reason}");
    }
    for text in [
        "x.example/Team",
        "x.example/a//b",
        "x.example/-a",
        "x.example/a...b",
        "x.example/a@b",
    ] {
        let reason = Place::registry(text).unwrap_err();
        assert!(reason.contains("lower-case"), "{text}: {reason}");
    }
}

#[test]
fn a_program_has_a_repository_of_its_own() {
    let place = |text| Place::registry(text).unwrap();
    for (registry, program, name) in [
        (
            "registry.example/team",
            "flights",
            "registry.example/team/flights",
        ),
        (
            "localhost:5000",
            "My Program_v2.exe",
            "localhost:5000/my-program-v2-exe",
        ),
        ("docker.io/ada", "--", "docker.io/ada/program"),
        ("x.example", "été", "x.example/t"),
    ] {
        assert_eq!(place(registry).of_program(program).to_string(), name);
    }
    assert_eq!(place("docker.io/ada").api(), "registry-1.docker.io");
    assert_eq!(place("x.example:81/ada").api(), "x.example:81");
}

#[test]
fn a_base_image_is_read_as_docker_reads_it() {
    for (name, place) in [
        ("debian", "docker.io/library/debian"),
        ("ada/debian:12", "docker.io/ada/debian"),
        (
            "gcr.io/distroless/cc-debian12:nonroot",
            "gcr.io/distroless/cc-debian12",
        ),
        ("localhost:5000/base", "localhost:5000/base"),
    ] {
        let base = BaseImage::parse(&format!("{name}@{DIGEST}")).unwrap();
        assert_eq!(base.place.to_string(), place);
        assert_eq!(base.digest.as_str(), DIGEST);
    }
}

#[test]
fn a_base_image_without_a_digest_is_refused() {
    let refused = |text: &str| BaseImage::parse(text).unwrap_err();
    assert!(refused("debian:12").contains("by its digest"));
    assert!(refused("debian@sha256:12").contains("64 hexadecimal digits"));
    assert!(refused(&format!("Debian@{DIGEST}")).contains("lower-case"));
}

proptest! {
    /// Whatever a program is called, its repository has a name that registries accept.
    #[test]
    fn every_program_has_a_sound_component(name in ".*") {
        let name = component(&name);
        prop_assert!(is_component(&name), "{name:?}");
        prop_assert!(name.len() <= 60);
    }
}
