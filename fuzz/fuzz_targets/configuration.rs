//! A `gundb.toml`: what is taken makes sense to the last word of it, and a peer that is added beside it leaves it as it is.
#![no_main]

use gundb_node::peers::config::Config;
use gundb_node::peers::edit::Edit;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let config = match Config::parse(text, Path::new("gundb.toml")) {
        Ok(config) => config,
        Err(why) => {
            assert!(!why.to_string().is_empty());
            let _ = why.hint();
            return;
        }
    };
    for peer in &config.peers {
        peer.url().unwrap();
        let terms = config.terms_of(peer).unwrap();
        assert!((0..=19).contains(&terms.compression) && terms.bundle_bytes_max >= 64 << 10);
        assert!(!peer.interval().is_zero() && !peer.resend().is_zero());
    }
    for grant in &config.grants {
        config.terms_of_grant(grant).unwrap();
    }
    if let Some(listen) = &config.listen {
        listen.place().unwrap();
    }
    assert!(!config.reconnect_max().is_zero() && !config.keep_alive().is_zero());
    let mut edit = Edit::of(text, Path::new("gundb.toml")).unwrap();
    // A name that is there already, and peers that are written in one line, are refused.
    if edit.add("one more", "grpc://one.example", &["a*".to_owned()], &[], Some("own")).is_ok() {
        let more = Config::parse(&edit.text(), Path::new("gundb.toml"));
        match more {
            Ok(more) => {
                assert_eq!(more.peers[..config.peers.len()], config.peers);
                assert_eq!(more.peers.len(), config.peers.len() + 1);
                assert_eq!((more.listen, more.grants), (config.listen, config.grants));
            }
            Err(why) => assert!(config.grants.iter().any(|grant| grant.name == "one more"), "{why}"),
        }
    }
});
