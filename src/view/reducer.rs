//! A user's reducer, called: one event after the other, each given whole, in a subtransaction.
//!
//! Called through the function manager, so that a plan is made once a session or once a batch, as its language has it,
//! and not for each event. A failure undoes the subtransaction and leaves its event out; what was reduced before is kept,
//! since an IMMUTABLE function has done nothing that could be lost.
//!
//! Must hold: it lives within one [`crate::spi::as_table_owner`], whose role and search path the function runs under;
//! nothing of ours is written while it lives.
//!
//! Unsafe: the function manager.

use crate::boundary::{check_interrupts, objection, try_pg};
use crate::catalog::{self, ReducerRecord};
use crate::error::{Error, Failure, Nature, Result, internal};
use crate::jsonb::{self, JsonbError};
use crate::scan::{As, Scan, column};
use crate::spi::{as_table_owner, bytes_of, varlena};
use crate::stream::Stream;
use crate::subtransaction::Subtransaction;
use crate::view::table::ViewTable;
use core::mem::offset_of;
use gundb_core::Printer;
use gundb_core::fold::{Mark, REDUCED_BYTES_MAX, Reduce};
use gundb_core::schema::Stop;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum, Oid};
use std::borrow::Cow;
use std::ffi::CString;

// Raw, unguarded: an error must reach `try_pg` whole.
unsafe extern "C-unwind" {
    fn fmgr_info_cxt(function: Oid, info: *mut pg_sys::FmgrInfo, memory: pg_sys::MemoryContext);
    fn pg_detoast_datum(datum: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    fn DirectFunctionCall1Coll(function: pg_sys::PGFunction, collation: Oid, argument: Datum) -> Datum;
    fn jsonb_in(fcinfo: pg_sys::FunctionCallInfo) -> Datum;
}

/// Why an event was left out.
#[derive(Clone)]
pub struct Refusal {
    pub sqlstate: Cow<'static, str>,
    pub reason: String,
}

impl Refusal {
    fn new(sqlstate: &'static str, reason: impl Into<String>) -> Refusal {
        Refusal { sqlstate: sqlstate.into(), reason: reason.into() }
    }
}

/// A call with two arguments.
#[repr(C)]
struct Frame {
    info: pg_sys::FunctionCallInfoBaseData,
    arguments: [pg_sys::NullableDatum; 2],
}

// PostgreSQL's own struct ends in the arguments.
const _: () = assert!(offset_of!(Frame, arguments) == size_of::<pg_sys::FunctionCallInfoBaseData>());

pub struct Reducer {
    /// What every event is left out for, if the function cannot be called at all.
    refusal: Option<Refusal>,
    frame: Box<Frame>,
    /// Of the rows of `gundb.event`: what the stream's table has besides is not given.
    descriptor: pg_sys::TupleDesc,
    subtransaction: Option<Subtransaction>,
    events: Scan,
    /// The last state: its text, and the jsonb that the function is given.
    state: Option<(String, Datum)>,
    /// Holds the function's own memory, the descriptor and the last state.
    memory: PgMemoryContexts,
    /// Holds what a call leaves; emptied after each.
    call_memory: PgMemoryContexts,
}

impl Reducer {
    /// # Safety
    /// `relation` is the stream's table, open for as long as the value lives.
    pub unsafe fn new(relation: pg_sys::Relation, stream: &Stream, record: &ReducerRecord) -> Result<Reducer> {
        let event = catalog::extension()?.event;
        let mut memory = PgMemoryContexts::new("gundb reducer");
        let kept = memory.value();
        // SAFETY: the descriptor is a copy, and like what is told of the function lies in `memory`.
        unsafe {
            let (descriptor, info) = memory.switch_to(|_| {
                let descriptor = pg_sys::lookup_rowtype_tupdesc_copy(pg_sys::get_rel_type_id(event), -1);
                (descriptor, pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast::<pg_sys::FmgrInfo>())
            });
            if (*descriptor).natts as usize != column::COUNT {
                return Err(internal("gundb.event does not have the columns of an event"));
            }
            let (function, refusal) = (record.function, why_not(record.function));
            if refusal.is_none() {
                try_pg(|| fmgr_info_cxt(function, info, kept))?;
            }
            let base = pg_sys::FunctionCallInfoBaseData { flinfo: info, nargs: 2, ..Default::default() };
            let frame = Box::new(Frame { info: base, arguments: Default::default() });
            let call_memory = PgMemoryContexts::new("gundb call of a reducer");
            let events = Scan::begin(relation, stream.primary_key, As::OfNow);
            let (subtransaction, state) = (None, None);
            Ok(Reducer { refusal, frame, descriptor, subtransaction, events, state, memory, call_memory })
        }
    }

    /// Ends what is open. Raises what could not be ended.
    pub fn done(mut self) -> Result<()> {
        self.subtransaction.take().map_or(Ok(()), Subtransaction::release)
    }

    /// A state as the function is given it.
    unsafe fn given(&mut self, state: &str) -> Result<Datum> {
        if let Some((text, datum)) = &self.state
            && text == state
        {
            return Ok(*datum);
        }
        let text = CString::new(state).map_err(|_| internal("a state contained a NUL byte"))?;
        let (source, call_memory) = (text.as_ptr(), self.call_memory.value());
        // SAFETY: the text outlives the call; the value is copied before the memory is emptied.
        unsafe {
            let datum = try_pg(|| {
                let before = pg_sys::CurrentMemoryContext;
                pg_sys::CurrentMemoryContext = call_memory;
                let datum = DirectFunctionCall1Coll(Some(jsonb_in), Oid::INVALID, Datum::from(source));
                pg_sys::CurrentMemoryContext = before;
                datum
            })?;
            Ok(self.keep(state.to_owned(), datum))
        }
    }

    /// Keeps a state, instead of the last, and forgets what the call left.
    unsafe fn keep(&mut self, text: String, datum: Datum) -> Datum {
        unsafe {
            let kept = self.memory.switch_to(|_| varlena(bytes_of(datum)));
            if let Some((_, last)) = self.state.replace((text, kept)) {
                pg_sys::pfree(last.cast_mut_ptr());
            }
            self.call_memory.reset();
            kept
        }
    }

    /// Calls the function. The outer failure is ours, the inner one the function's.
    unsafe fn call(&mut self, state: &str, mark: &Mark) -> Result<Result<Option<Datum>>> {
        if objection() == Some(Stop::Interrupted) {
            check_interrupts()?;
        }
        // SAFETY: two arguments of the types that the function was declared with when the view was made; those of a
        // function never change. What it returns lies in the memory of the call.
        unsafe {
            let state = self.given(state)?;
            let (events, descriptor) = (&mut self.events, self.descriptor);
            let event = self.call_memory.switch_to(|_| events.composite(mark, descriptor))?;
            self.frame.arguments = [state, event].map(|value| pg_sys::NullableDatum { value, isnull: false });
            self.frame.info.isnull = false;
            let (frame, call_memory) = (&raw mut *self.frame, self.call_memory.value());
            let function = (*self.frame.info.flinfo).fn_addr.ok_or_else(|| internal("a function has no address"))?;
            Ok(try_pg(|| {
                let before = pg_sys::CurrentMemoryContext;
                pg_sys::CurrentMemoryContext = call_memory;
                let result = function(frame.cast());
                let result = (!(*frame).info.isnull).then(|| Datum::from(pg_detoast_datum(result.cast_mut_ptr())));
                pg_sys::CurrentMemoryContext = before;
                result
            }))
        }
    }
}

impl Reduce for Reducer {
    /// Where it stands in the stream.
    type Event = Mark;
    type Refusal = Refusal;
    type Failure = Failure;

    fn reduce(&mut self, state: &str, mark: &Mark) -> Result<core::result::Result<String, Refusal>> {
        if let Some(refusal) = &self.refusal {
            return Ok(Err(refusal.clone()));
        }
        if self.subtransaction.is_none() {
            self.subtransaction = Some(Subtransaction::begin()?);
        }
        // SAFETY: the relation is open.
        let called = unsafe { self.call(state, mark)? };
        let refused = |sqlstate, reason: String| Ok(Err(Refusal::new(sqlstate, reason)));
        let outcome = match called {
            Ok(Some(datum)) => {
                let mut printer = Printer::new(REDUCED_BYTES_MAX);
                // SAFETY: a jsonb.
                match jsonb::print(unsafe { bytes_of(datum) }, &mut printer) {
                    Ok(()) => {
                        let text = printer.finish();
                        // SAFETY: as above.
                        unsafe { self.keep(text.clone(), datum) };
                        return Ok(Ok(text));
                    }
                    Err(JsonbError::TooLarge) => {
                        refused("54000", format!("the reducer returned more than {REDUCED_BYTES_MAX} bytes"))
                    }
                    Err(JsonbError::TooDeep) => {
                        refused("54000", format!("the reducer returned more than {} levels", jsonb::DEPTH_MAX))
                    }
                    Err(JsonbError::Malformed) => refused("22P03", "the reducer returned no jsonb".to_owned()),
                }
            }
            Ok(None) => refused("22004", "the reducer returned NULL".to_owned()),
            Err(failure) => {
                self.subtransaction.take().map_or(Ok(()), Subtransaction::undo)?;
                match failure {
                    Failure::Postgres(error) if failure.nature() == Nature::Refusal => {
                        let refusal =
                            Refusal { sqlstate: Failure::Postgres(error).sqlstate().into(), reason: error.message() };
                        error.free();
                        Ok(Err(refusal))
                    }
                    failure => return Err(failure),
                }
            }
        };
        // SAFETY: nothing in it is used any more.
        unsafe { self.call_memory.reset() };
        outcome
    }
}

/// Raises if a view's reducer cannot be called: what takes nothing in would make an empty view of it, in silence.
pub fn refuse_uncallable(view: &ViewTable) -> Result<()> {
    let Some(ReducerRecord { function, .. }) = view.record.reducer else { return Ok(()) };
    let Some(Refusal { sqlstate, reason }) = as_table_owner(view.relation, || Ok(why_not(function)))? else {
        return Ok(());
    };
    let hint = match &*sqlstate {
        NOT_IMMUTABLE => format!("ALTER FUNCTION {} IMMUTABLE;", catalog::function_label(function)?),
        NOT_ALLOWED => format!("GRANT EXECUTE ON FUNCTION {} to the view's owner.", catalog::function_label(function)?),
        _ => "SELECT gundb.drop_view('name'), then create it anew.".to_owned(),
    };
    let label = catalog::table_label(view.relation)?;
    let mut code = [0; 5];
    code.copy_from_slice(&sqlstate.as_bytes()[..5]);
    Err(Error::new(&code, format!("cannot fold view {label}: {reason}"))
        .detail("Appends go on, and leave their events pending. The view's rows are as they were.")
        .hint(hint)
        .into())
}

const NOT_THERE: &str = "42883";
const NOT_IMMUTABLE: &str = "42P17";
const NOT_ALLOWED: &str = "42501";

/// Why a function cannot be called, if so, by the role that is acting: the owner of the view.
fn why_not(function: Oid) -> Option<Refusal> {
    if function == Oid::INVALID {
        return Some(Refusal::new(NOT_THERE, "the view's table no longer names its reducer"));
    }
    // SAFETY: asks caches.
    unsafe {
        if pg_sys::func_volatile(function) as u8 != pg_sys::PROVOLATILE_IMMUTABLE {
            return Some(Refusal::new(NOT_IMMUTABLE, "the reducer is no longer IMMUTABLE"));
        }
        let (role, execute) = (pg_sys::GetUserId(), pg_sys::ACL_EXECUTE as pg_sys::AclMode);
        #[cfg(feature = "pg15")]
        let right = pg_sys::pg_proc_aclcheck(function, role, execute);
        #[cfg(not(feature = "pg15"))]
        let right = pg_sys::object_aclcheck(pg_sys::ProcedureRelationId, function, role, execute);
        let may = right == pg_sys::AclResult::ACLCHECK_OK;
        (!may).then(|| Refusal::new(NOT_ALLOWED, "the owner of the view may not execute the reducer"))
    }
}
