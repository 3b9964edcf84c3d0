//! Readings of sensors: batches with ids that can be given again, a task that is told of what comes, and goes on after a restart where it was.
//!
//! `cargo run -p gundb-node --example readings` keeps its store in `./readings`, and can be run again: nothing is counted twice.

use std::path::Path;

use gundb_core::Clock;
use gundb_node::typed::Coming;
use gundb_node::view::Definition;
use gundb_node::{Edge, Kind, New, Options, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum ReadingEvent {
    Measured(Measured),
    /// The sensor says that it is broken.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Measured {
    /// Degrees Celsius.
    #[schemars(range(min = -90.0, max = 60.0))]
    celsius: f64,
    /// What came with a later version of the program has a default.
    #[serde(default)]
    humidity: Option<u8>,
}

/// Who is told of failures alone says so: other events are passed over.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Alarm {
    Failed,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Sensor {
    key: String,
    measured: u64,
    coldest: Option<f64>,
    failed: u64,
}

pub async fn run(directory: &Path) -> Result<()> {
    let edge = match Edge::open(directory, Options::default()) {
        Err(why) if why.kind == Kind::NotFound => Edge::create(directory, "buoy", Options::default())?,
        opened => opened?,
    };
    let readings = edge.stream::<ReadingEvent>("readings")?;
    let columns = r#"{"measured": {"fold": "count", "value": {"Measured": true}},
                      "coldest":  {"fold": "min", "type": "numeric", "value": "celsius"},
                      "failed":   {"fold": "count", "value": {"Failed": true}}}"#;
    let definition =
        Definition { stream: "readings".into(), key: "@key".into(), columns: columns.into(), ..Definition::default() };
    edge.create_view("sensors", definition)?;

    // An id that follows from the reading: whoever gives it again, here or at another site, adds nothing.
    let reading = |hour: u8| -> Result<New> {
        let measured = Measured { celsius: f64::from(hour) - 10.5, humidity: hour.is_multiple_of(2).then_some(80) };
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("deck/{hour}").as_bytes());
        Ok(readings.event(&ReadingEvent::Measured(measured))?.key("deck").id(id))
    };
    edge.append((0..24).map(reading).collect::<Result<_>>()?, None)?;
    let again = edge.append((0..24).map(reading).collect::<Result<_>>()?, None)?;
    assert!(again.iter().all(|one| one.duplicate));

    // What the schema does not allow is refused, with the reason.
    let hot = ReadingEvent::Measured(Measured { celsius: 451.0, humidity: None });
    assert_eq!(readings.append_to("deck", &hot).map_err(|why| why.kind), Err(Kind::Invalid));

    // From the beginning; then, as after a restart, from where that came to.
    let mut coming = readings.subscribe_after::<ReadingEvent>(Clock::new())?.coming();
    let mut coldest = f64::MAX;
    for _ in 0..24 {
        if let Some(ReadingEvent::Measured(Measured { celsius, .. })) = next(&mut coming).await? {
            coldest = coldest.min(celsius);
        }
    }
    assert_eq!(coldest, -10.5);
    let kept = coming.position().clone();
    let mut coming = readings.subscribe_after::<Alarm>(kept)?.coming();
    readings.append_to("deck", &ReadingEvent::Failed)?;
    assert_eq!(next(&mut coming).await?, Some(Alarm::Failed));

    for Sensor { key, measured, coldest, failed } in edge.rows_of::<Sensor>("sensors")?.all()? {
        println!("{key}: {measured} readings, the coldest {coldest:?}, {failed} failures");
    }
    Ok(())
}

async fn next<S: gundb_node::typed::Events>(coming: &mut Coming<'_, S>) -> Result<Option<S>> {
    Ok(coming.next().await.transpose()?.map(|received| received.event))
}

#[allow(dead_code, reason = "a test calls run")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(Path::new("readings")).await
}
