//! A peer's URL, whatever the way: what is taken means the same when it is printed and read again; a password is in no refusal.
#![no_main]

use gundb_transport::postgres::Target;
use gundb_transport::url::{GRPC_PORT, PeerUrl, host_and_port};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((host, port)) = host_and_port(text) {
        assert!(!host.is_empty() && port > 0, "{text}");
    }
    match PeerUrl::parse(text) {
        Ok(PeerUrl::Postgres(target)) => {
            let printed = target.to_string();
            let again = Target::parse(&printed).unwrap_or_else(|why| panic!("{printed}: {why}"));
            let places =
                |target: &Target| target.hosts.iter().map(|host| (host.name.clone(), host.port)).collect::<Vec<_>>();
            assert_eq!((&again.user, &again.database), (&target.user, &target.database));
            assert_eq!(places(&again), places(&target), "{printed}");
        }
        Ok(PeerUrl::Grpc(target)) => match PeerUrl::parse(&target.to_string()) {
            Ok(PeerUrl::Grpc(again)) => {
                assert_eq!((again.host, again.port), (target.host, target.port));
                assert_eq!(again.tls.is_some(), target.tls.is_some());
            }
            other => panic!("{target}: {other:?}"),
        },
        Ok(PeerUrl::File(target)) => assert!(target.root.is_absolute()),
        Ok(PeerUrl::Exec(target)) => assert!(!target.command.is_empty()),
        Err(why) => assert!(!format!("{why} {:?}", why.hint()).is_empty()),
    }
    // A password before the host.
    if !text.contains(['/', '?']) {
        for scheme in ["postgres", "postgresql", "grpc", "grpcs"] {
            let said = PeerUrl::parse(&format!("{scheme}://u:Sesame{GRPC_PORT}@{text}"))
                .map(|_| ())
                .map_err(|why| why.to_string());
            assert!(said.is_err_and(|why| !why.contains("Sesame4862")), "{text}");
        }
    }
});
