//! Tests of the address of the emulator that pods use.

use super::*;

fn resolve(
    option: Option<&str>,
    worker_env: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> Result<Option<String>, String> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let worker_env: Vec<_> = worker_env.iter().map(pair).collect();
    let found = for_workers(option, &worker_env, |name| {
        let found = environment.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    found
        .map(|found| found.map(|found| found.host))
        .map_err(|error| error.to_string())
}

const LOOPBACK: (&str, &str) = (EMULATOR, "127.0.0.1:8085");
const FAR: (&str, &str) = (EMULATOR, "10.0.0.1:8085");

#[test]
fn the_option_overrides_the_variable_which_overrides_the_masters_own_address() {
    let environment = [FAR, (VARIABLE, "10.0.0.2:8085")];
    let found = resolve(Some("10.0.0.3:8085"), &[], &environment);
    assert_eq!(found.unwrap().unwrap(), "10.0.0.3:8085");
    let found = resolve(None, &[], &environment).unwrap();
    assert_eq!(found.unwrap(), "10.0.0.2:8085");
    assert_eq!(resolve(None, &[], &[FAR]).unwrap().unwrap(), FAR.1);
    assert_eq!(resolve(None, &[], &[]).unwrap(), None);
    let blank = [FAR, (VARIABLE, " ")];
    assert_eq!(resolve(None, &[], &blank).unwrap().unwrap(), FAR.1);
}

#[test]
fn an_address_in_the_workers_environment_is_left_unchanged() {
    let worker_env = [(EMULATOR, "10.0.0.9:8085")];
    let found = resolve(Some("localhost:1"), &worker_env, &[LOOPBACK]);
    assert_eq!(found.unwrap(), None);
}

#[test]
fn a_loopback_address_of_the_master_is_refused_with_the_options_name() {
    for own in [
        "127.0.0.1:8085",
        "localhost:8085",
        "LOCALHOST",
        "http://localhost:8085/",
        "[::1]:8085",
        "::1",
        "0.0.0.0:8085",
        "[::ffff:127.0.0.1]:8085",
        ":8085",
        "db.localhost:8085",
    ] {
        let said = resolve(None, &[], &[(EMULATOR, own)]).unwrap_err();
        for words in [EMULATOR, OPTION, VARIABLE] {
            assert!(said.contains(words), "{words:?} is not in {said:?}");
        }
        let said = resolve(Some(own), &[], &[LOOPBACK]).unwrap_err();
        assert!(said.contains(OPTION), "{said}");
    }
    for far in ["10.0.0.1:8085", "emulator:8085", "localhost.example:1"] {
        assert!(!means_itself(far), "{far}");
    }
    assert!(resolve(Some(" "), &[], &[FAR]).is_err());
    for portless in ["10.0.0.1", "emulator:", "http://emulator/", "[fd00::1]"] {
        let said = resolve(Some(portless), &[], &[FAR]).unwrap_err();
        assert!(said.contains("port is missing"), "{said}");
    }
    let six = resolve(Some("[fd00::1]:8085"), &[], &[FAR]);
    assert_eq!(six.unwrap().unwrap(), "[fd00::1]:8085");
}

#[tokio::test]
async fn a_name_that_means_this_machine_is_refused_unless_a_setting_gave_it() {
    let given = |host: &str, own| WorkerEmulator {
        host: host.to_owned(),
        own,
    };
    // Any name that the resolver gives loopback addresses would do; this one is known everywhere.
    for host in ["localhost:8085", "http://localhost:8085/", "localhost"] {
        let said = given(host, true).check().await.unwrap_err().to_string();
        assert!(said.contains(VARIABLE) && said.contains(host), "{said}");
        assert!(given(host, false).check().await.is_ok());
    }
    assert!(given("10.0.0.1:8085", true).check().await.is_ok());
}

#[test]
fn an_emulator_for_the_workers_alone_is_refused() {
    let said = resolve(Some("10.0.0.1:8085"), &[], &[]).unwrap_err();
    assert!(said.contains(OPTION) && said.contains(EMULATOR), "{said}");
    let said = resolve(None, &[], &[(VARIABLE, "10.0.0.1:8085")]).unwrap_err();
    assert!(said.contains(VARIABLE), "{said}");
}
