//! The two-way border between Rust and PostgreSQL's `longjmp` errors.
//!
//! pgrx turns every PostgreSQL error that crosses a Rust frame into its own report and drops what it has no
//! field for: SQLSTATEs it does not list (ours among them), constraint and column names, context lines. A user
//! of `append` must see exactly what a plain INSERT would have shown, so:
//!
//! - [`entry`] is the outermost frame of every function that PostgreSQL calls; it raises a [`Failure`] only when
//!   no Rust value that needs dropping is left on the stack;
//! - [`try_pg`] calls C code that may run a user's code, and hands back the error whole, to be rethrown as it was.
//!
//! May touch: PostgreSQL's exception stack. Nothing else in the crate does.

use crate::error::{Error, Failure};
use cee_scape::{SigJmpBufFields, call_with_sigsetjmp};
use core::ffi::{c_char, c_int};
use core::mem::MaybeUninit;
use gundb_core::schema::Stop;
use pgrx::pg_sys;

/// An error caught from PostgreSQL, whole. Lives as long as the transaction: on its way out memory contexts are deleted, SPI is
/// finished and subtransactions are undone, with all that was allocated in them.
#[derive(Clone, Copy)]
pub struct PgError(*mut pg_sys::ErrorData);

impl PgError {
    /// The primary message.
    pub fn message(&self) -> String {
        // SAFETY: CopyErrorData returned this pointer, and it is never freed before it is rethrown; `message` is null
        // or a NUL-terminated string.
        unsafe {
            let message = (*self.0).message;
            if message.is_null() {
                String::new()
            } else {
                core::ffi::CStr::from_ptr(message).to_string_lossy().into_owned()
            }
        }
    }

    /// The SQLSTATE, unpacked: six bits a character.
    pub fn sqlstate(&self) -> String {
        // SAFETY: as above.
        let packed = unsafe { (*self.0).sqlerrcode };
        (0..5).map(|place| char::from(((packed >> (6 * place)) & 0x3f) as u8 + b'0')).collect()
    }
}

impl PgError {
    /// The SQLSTATE, as PostgreSQL packs it.
    pub fn sqlerrcode(&self) -> i32 {
        // SAFETY: as for `message`.
        unsafe { (*self.0).sqlerrcode }
    }

    /// Frees an error that is not passed on.
    pub fn free(self) {
        // SAFETY: as above; whoever passes an error on does not call this.
        unsafe { pg_sys::FreeErrorData(self.0) };
    }
}

impl core::fmt::Debug for PgError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PgError({})", self.message())
    }
}

// SAFETY: these are PostgreSQL's own functions with the signatures of elog.h. They are declared here, beside
// pgrx's guarded ones, because a guarded one would catch the very error that is being raised.
unsafe extern "C-unwind" {
    fn errstart(elevel: c_int, domain: *const c_char) -> bool;
    fn PostmasterIsAliveInternal() -> bool;
    fn errcode(sqlerrcode: c_int) -> c_int;
    fn errmsg_internal(fmt: *const c_char, ...) -> c_int;
    fn errdetail_internal(fmt: *const c_char, ...) -> c_int;
    fn errhint(fmt: *const c_char, ...) -> c_int;
    fn errfinish(filename: *const c_char, lineno: c_int, funcname: *const c_char);
    fn ReThrowError(edata: *mut pg_sys::ErrorData) -> !;
    fn pg_re_throw() -> !;
    fn ProcessInterrupts();
    fn stack_is_too_deep() -> bool;
}

/// Runs C code that may raise, and returns its error instead of jumping.
///
/// The caller must pass the error on (or roll back to a savepoint): PostgreSQL's state is that of a failed statement.
/// `f` must hold nothing that needs dropping and must call only raw C functions, so that the jump skips nothing.
pub fn try_pg<T: Copy>(f: impl FnOnce() -> T) -> Result<T, Failure> {
    // SAFETY: this is PG_TRY / PG_CATCH. The saved values are restored on both ways out, and the error is copied
    // out of ErrorContext, into memory that outlives whatever it passes, before the error state is flushed.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let exception_stack = pg_sys::PG_exception_stack;
        let context_stack = pg_sys::error_context_stack;
        let mut result = MaybeUninit::<T>::uninit();
        let jumped = call_with_sigsetjmp(false, |buffer| {
            pg_sys::PG_exception_stack = (buffer as *const SigJmpBufFields).cast_mut().cast();
            result.write(f());
            0
        });
        pg_sys::PG_exception_stack = exception_stack;
        pg_sys::error_context_stack = context_stack;
        if jumped == 0 {
            return Ok(result.assume_init());
        }
        let lasting = pg_sys::TopTransactionContext;
        pg_sys::CurrentMemoryContext = if lasting.is_null() { context } else { lasting };
        let error = pg_sys::CopyErrorData();
        pg_sys::FlushErrorState();
        pg_sys::CurrentMemoryContext = context;
        Err(Failure::Postgres(PgError(error)))
    }
}

/// What speaks against going on with a long or deep computation.
pub fn objection() -> Option<Stop> {
    // SAFETY: reads a flag that signal handlers set, and the address of the stack.
    unsafe {
        if (&raw const pg_sys::InterruptPending).read_volatile() != 0 {
            Some(Stop::Interrupted)
        } else {
            stack_is_too_deep().then_some(Stop::TooDeep)
        }
    }
}

/// Answers whoever interrupted: a cancel or the end of the session comes back as the failure it is.
pub fn check_interrupts() -> Result<(), Failure> {
    // SAFETY: PostgreSQL's own answer, where a longjmp is caught.
    try_pg(|| unsafe { ProcessInterrupts() })
}

/// Ends this process if the postmaster is gone: while it works, no other server can start on its files. PostgreSQL looks where
/// it waits; who has one thing to do after the other, as at the receiving end of a pipeline, never does.
pub fn end_if_orphaned() -> Result<(), Failure> {
    // SAFETY: PostgreSQL's own answer.
    if unsafe { PostmasterIsAliveInternal() } {
        return Ok(());
    }
    report(pgrx::PgLogLevel::FATAL, Error::new(b"57P01", "terminating connection due to unexpected postmaster exit"))
}

/// What is left of a failure once every Rust value is gone: plain pointers into PostgreSQL's memory.
#[derive(Clone, Copy)]
enum Raise {
    Own { level: c_int, code: c_int, message: *const c_char, detail: *const c_char, hint: *const c_char },
    Again(*mut pg_sys::ErrorData),
}

fn pg_string(text: &str) -> *const c_char {
    // A NUL byte would cut the message short without a word.
    let text = text.replace('\0', "\u{fffd}");
    // SAFETY: pnstrdup copies `len` bytes and adds the NUL.
    unsafe { pg_sys::pnstrdup(text.as_ptr().cast(), text.len()) }
}

impl Raise {
    fn of(error: &Error, level: c_int) -> Raise {
        let optional = |text: &Option<String>| text.as_deref().map_or(core::ptr::null(), pg_string);
        Raise::Own {
            level,
            code: error.sqlerrcode(),
            message: pg_string(&error.message),
            detail: optional(&error.detail),
            hint: optional(&error.hint),
        }
    }

    /// # Safety
    /// With level ERROR it jumps: no frame between here and PostgreSQL may hold a value that needs dropping.
    unsafe fn throw(self) {
        const AS_IS: *const c_char = c"%s".as_ptr();
        unsafe {
            match self {
                Raise::Again(error) => throw_again(error),
                Raise::Own { level, code, message, detail, hint } => {
                    if errstart(level, core::ptr::null()) {
                        errcode(code);
                        errmsg_internal(AS_IS, message);
                        if !detail.is_null() {
                            errdetail_internal(AS_IS, detail);
                        }
                        if !hint.is_null() {
                            errhint(AS_IS, hint);
                        }
                        errfinish(c"gundb".as_ptr(), 0, core::ptr::null());
                    }
                }
            }
        }
    }
}

/// Raises an error that was caught, and gives back its memory: a loop of the user's that catches errors may raise many in one
/// transaction.
///
/// # Safety
/// It jumps: no frame between here and PostgreSQL may hold a value that needs dropping.
unsafe fn throw_again(error: *mut pg_sys::ErrorData) -> ! {
    unsafe {
        let (exception_stack, context_stack) = (pg_sys::PG_exception_stack, pg_sys::error_context_stack);
        // PostgreSQL copies it to where errors under way are, and jumps here.
        call_with_sigsetjmp(false, |buffer| {
            pg_sys::PG_exception_stack = (buffer as *const SigJmpBufFields).cast_mut().cast();
            ReThrowError(error)
        });
        pg_sys::PG_exception_stack = exception_stack;
        pg_sys::error_context_stack = context_stack;
        pg_sys::FreeErrorData(error);
        pg_re_throw()
    }
}

/// Runs the body of a function that PostgreSQL calls; a failure becomes a PostgreSQL error with all its fields.
///
/// # Safety
/// Only as the whole body of an `extern "C-unwind"` function called by PostgreSQL on its main thread.
#[inline]
pub unsafe fn entry<T: Copy>(body: impl FnOnce() -> Result<T, Failure>) -> T {
    let outcome = unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            body().map_err(|failure| match failure {
                Failure::Own(error) => Raise::of(&error, pgrx::PgLogLevel::ERROR as c_int),
                Failure::Postgres(PgError(error)) => Raise::Again(error),
            })
        })
    };
    match outcome {
        Ok(value) => value,
        Err(raise) => {
            // SAFETY: `raise` is plain data and nothing else is alive in this frame.
            unsafe { raise.throw() };
            unreachable!("an error of level ERROR returned")
        }
    }
}

/// Reports below ERROR: a NOTICE to the client, a LOG line, a WARNING.
///
/// Sending one may run interrupt checks, so a cancel can arrive here; pass the failure on.
pub fn report(level: pgrx::PgLogLevel, error: Error) -> Result<(), Failure> {
    let raise = Raise::of(&error, level as c_int);
    drop(error);
    // SAFETY: the closure holds only plain data.
    try_pg(|| unsafe { raise.throw() })
}

/// Declares a function that SQL can name: `AS 'MODULE_PATHNAME', 'gundb_…'`, with the version record that
/// PostgreSQL looks up beside it (`PG_FUNCTION_INFO_V1`).
#[macro_export]
macro_rules! sql_function {
    ($(#[$meta:meta])* fn $name:ident($call:ident) $body:block) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// Called by PostgreSQL with a valid `fcinfo`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(fcinfo: ::pgrx::pg_sys::FunctionCallInfo) -> ::pgrx::pg_sys::Datum {
            // SAFETY: `fcinfo` comes from PostgreSQL.
            let call = unsafe { $crate::call::Call::new(fcinfo) };
            let body = move || -> $crate::error::Result<::pgrx::pg_sys::Datum> {
                let $call = call;
                $body
            };
            // SAFETY: nothing else is done here.
            unsafe { $crate::boundary::entry(body) }
        }
        const _: () = {
            #[unsafe(export_name = concat!("pg_finfo_", stringify!($name)))]
            extern "C" fn version() -> &'static ::pgrx::pg_sys::Pg_finfo_record {
                const V1: ::pgrx::pg_sys::Pg_finfo_record = ::pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
                &V1
            }
        };
    };
}
