//! What this site does to a value.
//!
//! Must hold: who acts is this database, told from its copies and recovered backups as far as the system identifier, the
//! timeline and the database's oid tell; on a value that was reissued here, the replica that was drawn for it.

use super::{misdeclared, stored, too_large, value};
use crate::call::{Call, ret};
use crate::error::{Error, Result, state};
use crate::jsonb::{self, JsonbError};
use crate::sql_function;
use crate::{random, run};
use gundb_core::crdt::{Crdt, Replica};
use gundb_core::{Json, Limits, Printer};
use pgrx::pg_sys::{self, Datum};

/// Argument 0, changed. (The delta that core gives back has no use here yet.)
fn change(call: Call, change: impl FnOnce(&mut Crdt) -> Result<Crdt>) -> Result<Datum> {
    let mut value = value(call, 0)?;
    change(&mut value)?;
    stored(&value)
}

/// Argument 0, changed by an act that is counted: it says who acts.
fn act(call: Call, act: impl FnOnce(&mut Crdt, Replica) -> Result<Crdt>) -> Result<Datum> {
    change(call, |value| {
        let who = who(value)?;
        act(value, who)
    })
}

/// This database as a replica.
fn database() -> Result<Replica> {
    // SAFETY: reads a flag.
    if unsafe { pg_sys::RecoveryInProgress() } {
        // What a standby computes may be sent elsewhere, and its primary would number other acts the same.
        return Err(Error::new(state::READ_ONLY, "cannot act on a CRDT value during recovery")
            .hint("Values can be read and merged here; change them on the primary.")
            .into());
    }
    let site = run::site_of_writer()?;
    // SAFETY: not in recovery, so there is a timeline to insert into; a database is set before any SQL runs.
    let (system, timeline, oid) =
        unsafe { (pg_sys::GetSystemIdentifier(), pg_sys::GetWALInsertionTimeLine(), pg_sys::MyDatabaseId.to_u32()) };
    Ok(Replica::of_database(site, system, timeline, oid))
}

/// As whom this database acts on a value.
fn who(value: &Crdt) -> Result<Replica> {
    Ok(value.acting(database()?))
}

sql_function! {
    /// `replica()`
    fn gundb_replica(_call) { Ok(ret::text(&database()?.to_string())) }
}
sql_function! {
    /// `reissue(value)`
    fn gundb_crdt_reissue(call) {
        let own = database()?.reissued(u64::from_be_bytes(random::bytes::<8>()?));
        stored(&value(call, 0)?.reissue(own)?)
    }
}

// Counters.

/// An amount that cannot be negative; the hint says what to do with one that is.
fn amount(amount: i64, hint: &str) -> Result<u64> {
    u64::try_from(amount).map_err(|_| {
        Error::new(state::INVALID_PARAMETER, format!("the amount must not be negative, but is {amount}"))
            .hint(hint)
            .into()
    })
}

sql_function! {
    /// `add(counter, amount)`, `+`
    fn gundb_crdt_add(call) {
        let number = call.required(call.int8(1), "amount")?;
        act(call, |value, who| match value {
            Crdt::Gcounter(counter) => {
                Ok(counter.add(amount(number, "A gcounter only grows; a pncounter can also shrink.")?, who)?.into())
            }
            Crdt::Pncounter(counter) => Ok(counter.add(number, who)?.into()),
            Crdt::Bcounter(counter) => Ok(counter.add(amount(number, "Take from a bcounter with -.")?, who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `subtract(counter, amount)`, `-`
    fn gundb_crdt_subtract(call) {
        let number = call.required(call.int8(1), "amount")?;
        act(call, |value, who| match value {
            Crdt::Pncounter(counter) => {
                let number = number.checked_neg();
                let number = number.ok_or_else(|| Error::new(state::OUT_OF_RANGE, "bigint out of range"))?;
                Ok(counter.add(number, who)?.into())
            }
            Crdt::Bcounter(counter) => Ok(counter.take(amount(number, "Add to a bcounter with +.")?, who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}

/// A replica, as `gundb.replica()` prints it.
fn replica_of(text: &str) -> Result<Replica> {
    text.parse().map_err(|why| {
        Error::new(state::INVALID_PARAMETER, "not a replica")
            .detail(format!("{why}"))
            .hint("SELECT gundb.replica() at the other site prints its replica.")
            .into()
    })
}

sql_function! {
    /// `transfer(counter, recipient, amount)`
    fn gundb_crdt_transfer(call) {
        let recipient = replica_of(call.required(call.text(1), "recipient")?)?;
        let amount = amount(call.required(call.int8(2), "amount")?, "Only who has rights can give some.")?;
        act(call, |value, who| match value {
            Crdt::Bcounter(counter) => Ok(counter.transfer(amount, recipient, who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `available(counter, replica)`
    fn gundb_crdt_available(call) {
        if call.arg(0).is_none() {
            return Ok(call.null());
        }
        let value = value(call, 0)?;
        let replica = match call.text(1) {
            Some(text) => replica_of(text)?,
            None => who(&value)?,
        };
        match &value {
            Crdt::Bcounter(counter) => super::form::numeric(counter.rights(replica).max(0)),
            other => Err(misdeclared(other)),
        }
    }
}

// Sets, registers, flags and maps. What only takes away what is seen is not counted, and needs no site.

sql_function! {
    /// `add(set, element)` of a gset, whose elements nobody is remembered for.
    fn gundb_gset_add(call) {
        let element = call.required(call.text(1), "element")?;
        change(call, |value| match value {
            Crdt::Gset(set) => Ok(set.add(element)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `add(set, element)`
    fn gundb_crdt_add_element(call) {
        let element = call.required(call.text(1), "element")?;
        act(call, |value, who| match value {
            Crdt::Set(set) => Ok(set.add(element, who)?.into()),
            Crdt::RwSet(set) => Ok(set.add(element, who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `remove(set, element)` of an rw_set, which remembers it.
    fn gundb_rw_set_remove(call) {
        let element = call.required(call.text(1), "element")?;
        act(call, |value, who| match value {
            Crdt::RwSet(set) => Ok(set.remove(element, who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `remove(set, element)`, `remove(map, key)`
    fn gundb_crdt_remove(call) {
        let key = call.required(call.text(1), "key")?;
        change(call, |value| match value {
            Crdt::Set(set) => Ok(set.remove(key).into()),
            Crdt::Map(map) => Ok(map.remove(key).into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `enable(flag)`
    fn gundb_crdt_enable(call) {
        act(call, |value, who| match value {
            Crdt::Flag(flag) => Ok(flag.enable(who)?.into()),
            Crdt::DwFlag(flag) => Ok(flag.enable(who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `disable(flag)` of a dw_flag, which remembers it.
    fn gundb_dw_flag_disable(call) {
        act(call, |value, who| match value {
            Crdt::DwFlag(flag) => Ok(flag.disable(who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `disable(flag)`, `clear(register)`
    fn gundb_crdt_clear(call) {
        change(call, |value| match value {
            Crdt::Flag(flag) => Ok(flag.disable().into()),
            Crdt::Mv(register) => Ok(register.clear().into()),
            other => Err(misdeclared(other)),
        })
    }
}
sql_function! {
    /// `set(register, value text)`
    fn gundb_crdt_set_text(call) {
        let text = call.required(call.text(1), "value")?;
        set(call, Json::String(text.to_owned()))
    }
}
sql_function! {
    /// `set(register, value jsonb)`
    fn gundb_crdt_set_jsonb(call) { set(call, json(call, 1)?) }
}
sql_function! {
    /// `put(map, key, value)`
    fn gundb_crdt_put(call) {
        let (key, json) = (call.required(call.text(1), "key")?, json(call, 2)?);
        act(call, |value, who| match value {
            Crdt::Map(map) => Ok(map.put(key, &json, run::next_stamp()?, who)?.into()),
            other => Err(misdeclared(other)),
        })
    }
}

fn set(call: Call, json: Json) -> Result<Datum> {
    act(call, |value, who| match value {
        // A register may bear another site's stamp, ahead of this site's clock; this write has seen it and is after it.
        // The clock itself stays where it is, or one forged value would push it to the end of time.
        Crdt::Lww(register) => {
            let at = register.next_stamp(run::next_stamp()?).ok_or_else(|| {
                Error::new(state::OUT_OF_RANGE, "the register bears the last stamp there is")
                    .hint("Nothing can be written over it; begin a new register with '{}'.")
            })?;
            Ok(register.set(&json, at, who).into())
        }
        Crdt::Mv(register) => Ok(register.set(&json, who)?.into()),
        other => Err(misdeclared(other)),
    })
}

/// Argument `i`, a jsonb.
fn json(call: Call, i: usize) -> Result<Json> {
    let mut printer = Printer::new(Crdt::BYTES_MAX);
    jsonb::print(call.required(call.bytes(i), "value")?, &mut printer).map_err(|why| match why {
        JsonbError::TooLarge => too_large(format!("The JSON prints as more than {} MB.", Crdt::BYTES_MAX >> 20)),
        JsonbError::TooDeep => too_large(format!("The JSON is nested deeper than {} levels.", jsonb::DEPTH_MAX)),
        JsonbError::Malformed => Error::new(state::CORRUPTED, "the jsonb value is damaged").into(),
    })?;
    Json::parse(&printer.finish(), Limits::default()).map_err(|why| too_large(format!("{why}.")))
}
