//! URLs as libpq's users write them, and what is said of those that are refused.

use gundb_transport::postgres::Target;
use gundb_transport::postgres::url::{Root, SslMode, URL_BYTES_MAX, UrlError};
use std::path::Path;
use std::time::Duration;

fn parse(url: &str) -> Target {
    Target::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn refusal(url: &str) -> UrlError {
    Target::parse(url).err().unwrap_or_else(|| panic!("{url} is taken"))
}

#[test]
fn a_url_says_where_as_whom_and_how() {
    let target = parse("postgres://gundb@tokyo.example/shop");
    assert_eq!((target.user.as_str(), target.database.as_str()), ("gundb", "shop"));
    assert_eq!((target.hosts[0].name.as_str(), target.hosts[0].port), ("tokyo.example", 5432));
    assert_eq!((target.tls.mode, target.connect_timeout), (SslMode::Prefer, Duration::from_secs(10)));
    assert_eq!(target.application_name, "gundb");

    let target = parse(
        "postgresql://a%40b@[2001:db8::1]:6432,second.example/my%20shop?sslmode=verify-full&sslrootcert=/etc/root.crt\
         &sslcert=/c&sslkey=/k&passfile=/p&connect_timeout=3&keepalives_idle=7&keepalives_interval=2&keepalives_count=4\
         &application_name=paris&target_session_attrs=read-write",
    );
    assert_eq!((target.user.as_str(), target.database.as_str()), ("a@b", "my shop"));
    assert_eq!((target.hosts[0].name.as_str(), target.hosts[0].port), ("2001:db8::1", 6432));
    assert_eq!((target.hosts[1].name.as_str(), target.hosts[1].port), ("second.example", 5432));
    assert_eq!(target.tls.root, Some(Root::File("/etc/root.crt".into())));
    assert_eq!(target.passfile.as_deref(), Some(Path::new("/p")));
    assert_eq!(target.keepalive.user_timeout, Duration::from_secs(15));
    assert_eq!(target.to_string(), "postgres://a%40b@[2001:db8::1]:6432,second.example/my%20shop");

    let target = parse("postgres:///shop?host=/run/postgresql&user=gundb&port=5433");
    assert!(target.hosts[0].is_socket() && target.hosts[0].port == 5433);
    assert_eq!(parse("postgres://u@h/d?sslrootcert=system").tls.mode, SslMode::VerifyFull);
}

#[test]
fn a_password_is_refused_and_not_repeated() {
    for url in [
        "postgres://gundb:Sesame@tokyo.example/shop",
        "postgres://gundb:Ses@me@tokyo.example/shop",
        "postgres://tokyo.example/shop?user=gundb&password=Sesame",
        "postgres://tokyo.example/shop?user=gundb&sslpassword=Sesame",
        "postgres://gundb:@tokyo.example/shop",
    ] {
        let error = refusal(url);
        assert_eq!(error, UrlError::Password, "{url}");
        assert!(error.hint().is_some_and(|hint| hint.contains("gundb.set_peer_secret") && hint.contains("passfile")));
    }
}

#[test]
fn what_is_not_understood_is_an_error_that_helps() {
    let error = refusal("postgres://u@h/d?sslmod=require");
    assert_eq!(error.to_string(), "\"sslmod\" is not a parameter of a peer's URL");
    assert_eq!(error.hint().as_deref(), Some("Perhaps you meant \"sslmode\"."));
    let cases = [
        ("http://h/d", "begins with postgres://"),
        ("postgres://u@h", "names no database"),
        ("postgres://h/d", "names no user"),
        ("postgres://u@/d", "names no host"),
        ("postgres://u@h:0/d", "no value of port"),
        ("postgres://u@h:65536/d", "no value of port"),
        ("postgres://u@[::1/d", "does not end"),
        ("postgres://u@h/d%2", "percent sign"),
        ("postgres://u@h/d%é", "percent sign"),
        ("postgres://u@h/%00", "zero byte"),
        ("postgres://u@h/%ff", "not UTF-8"),
        ("postgres://u@h/d?sslmode", "has no value"),
        ("postgres://u@h/d?sslmode=on", "it takes disable, allow"),
        ("postgres://u@h/d?sslmode=verify-full", "need sslrootcert"),
        ("postgres://u@h/d?sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("postgres://u@h/d?sslcert=/c", "go together"),
        ("postgres://u@h/d?options=-csearch_path=x", "does not take libpq's parameter options"),
        ("postgres://u@h/d?target_session_attrs=standby", "only what is done anyway"),
        ("postgres://u@h/d?connect_timeout=soon", "number of seconds"),
        ("postgres://u@a,b,c/d?port=1,2", "has 2 values of port for 3 hosts"),
        ("postgres://u@a/d?hostaddr=somewhere", "it takes an IP address"),
    ];
    for (url, words) in cases {
        let error = refusal(url).to_string();
        assert!(error.contains(words), "{url}: {error}");
    }
    assert_eq!(refusal(&format!("postgres://u@h/{}", "d".repeat(URL_BYTES_MAX))), UrlError::TooLong);
    assert_eq!(refusal(&format!("postgres://u@{}/d", ["h"; 17].join(","))), UrlError::TooManyHosts);
}
