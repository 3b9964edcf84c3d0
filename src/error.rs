//! What gundb says when something is wrong: SQLSTATE, message, detail, and a hint in the user's words.
//!
//! gundb's own SQLSTATEs are class `GD`; `docs/errors.md` lists them. Everything that PostgreSQL already has
//! a code for uses that code, since drivers and retry loops know it.

use crate::boundary::PgError;

/// An error of ours, ready to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    sqlstate: [u8; 5],
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// Why a function of ours did not return: for a reason of ours, or for one that PostgreSQL raised.
#[derive(Debug)]
pub enum Failure {
    Own(Error),
    Postgres(PgError),
}

impl Failure {
    /// The five characters of the SQLSTATE.
    pub fn sqlstate(&self) -> String {
        let code = match self {
            Failure::Own(error) => error.sqlerrcode(),
            Failure::Postgres(error) => error.sqlerrcode(),
        };
        (0..5).map(|at| char::from(b'0' + ((code >> (6 * at)) & 0x3f) as u8)).collect()
    }

    /// What happened, in a line.
    pub fn message(&self) -> String {
        match self {
            Failure::Own(error) => error.message.clone(),
            Failure::Postgres(error) => error.message(),
        }
    }

    /// Gives back its memory, where it is not passed on: it would last as long as the transaction.
    pub fn free(self) {
        if let Failure::Postgres(error) = self {
            error.free();
        }
    }

    /// What a failure says of what was being written. This is the one place that judges it: reducers, rows of views and
    /// what is applied of others all ask here.
    pub fn nature(&self) -> Nature {
        let sqlstate = self.sqlstate();
        match self {
            // gundb's own say that it cannot go on, or should not; but for one, that a trigger of the user's took a row.
            Failure::Own(_) if sqlstate == "09000" => Nature::Refusal,
            Failure::Own(_) => Nature::Ending,
            Failure::Postgres(_) => Nature::of(&sqlstate),
        }
    }
}

/// What a failure says of what was being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// The row, or the event, is not taken: it can wait, pending, and everything else goes on. It is tried again when
    /// somebody asks for it.
    Refusal,
    /// Something is held, or out of reach, and will not always be. A transaction fails that appends, so that it is run
    /// again; what comes from others is put off, and tried again without asking.
    Passing,
    /// It is the transaction, the session, the server or the disk: nothing is caught.
    Ending,
}

impl Nature {
    fn of(sqlstate: &str) -> Nature {
        match (&sqlstate[..2], sqlstate) {
            // Serialization: the transaction has seen what is no more, whatever it does.
            (_, "40001") => Nature::Ending,
            // Other conflicts: a deadlock's victim; a lock not had in time, or not waited for; an object in use.
            ("40", _) | (_, "55P03" | "55006") => Nature::Passing,
            // A server that a trigger reaches for is out of reach, or read-only: this transaction is not, or it would not
            // have come so far. Or a configuration file, or a snapshot too old.
            ("08" | "25" | "F0" | "72", _) => Nature::Passing,
            // A lack of memory, disk or connections; an operator's word, be it a cancel, a timeout or a shutdown; the
            // operating system and its disks.
            ("53" | "57" | "58", _) => Nature::Ending,
            // Damaged data must not be covered up.
            (_, "XX001" | "XX002") => Nature::Ending,
            // What was written, then. XX000 too: a function of the user's raises it, or PostgreSQL for its sake (an object
            // that is gone, elog in C); a defect that gundb itself finds is its own failure, above.
            _ => Nature::Refusal,
        }
    }
}

pub type Result<T> = core::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Own(error)
    }
}

/// The SQLSTATEs in use: PostgreSQL's first, then ours.
pub mod state {
    pub const COMPLETED: &[u8; 5] = b"00000";
    pub const FEATURE_NOT_SUPPORTED: &[u8; 5] = b"0A000";
    pub const INVALID_PARAMETER: &[u8; 5] = b"22023";
    pub const INVALID_TEXT: &[u8; 5] = b"22P02";
    pub const INVALID_BINARY: &[u8; 5] = b"22P03";
    pub const OUT_OF_RANGE: &[u8; 5] = b"22003";
    pub const NOT_NULL: &[u8; 5] = b"23502";
    pub const UNIQUE: &[u8; 5] = b"23505";
    pub const CHECK: &[u8; 5] = b"23514";
    pub const NO_CONNECTION: &[u8; 5] = b"08003";
    pub const READ_ONLY: &[u8; 5] = b"25006";
    pub const WRONG_STATE: &[u8; 5] = b"55000";
    pub const OBJECT_IN_USE: &[u8; 5] = b"55006";
    pub const PRIVILEGE: &[u8; 5] = b"42501";
    pub const NAME_TOO_LONG: &[u8; 5] = b"42622";
    pub const INVALID_NAME: &[u8; 5] = b"42602";
    pub const DUPLICATE_OBJECT: &[u8; 5] = b"42710";
    pub const UNDEFINED_OBJECT: &[u8; 5] = b"42704";
    pub const UNDEFINED_TABLE: &[u8; 5] = b"42P01";
    pub const DEPENDENT_OBJECTS: &[u8; 5] = b"2BP01";
    pub const WRONG_OBJECT: &[u8; 5] = b"42809";
    pub const TOO_LARGE: &[u8; 5] = b"54000";
    pub const TOO_DEEP: &[u8; 5] = b"54001";
    pub const CONFIGURATION_LIMIT: &[u8; 5] = b"53400";
    pub const LOCK_NOT_AVAILABLE: &[u8; 5] = b"55P03";
    pub const CORRUPTED: &[u8; 5] = b"XX001";
    pub const INTERNAL: &[u8; 5] = b"XX000";

    /// An event, once written, stays as it is.
    pub const IMMUTABLE: &[u8; 5] = b"GD001";
    /// A coordinate (site, lane, seq, hlc, xact, epoch, salt, chain) was supplied.
    pub const COORDINATE_SUPPLIED: &[u8; 5] = b"GD002";
    /// The event does not fit the JSON Schema of its type.
    pub const SCHEMA_VIOLATION: &[u8; 5] = b"GD003";
    /// The stream is closed and the event's type is not defined.
    pub const UNDEFINED_TYPE: &[u8; 5] = b"GD004";
    /// The key holds another number of events than `expected_version`.
    pub const VERSION_CONFLICT: &[u8; 5] = b"GD005";
    /// The id is taken by an event with other content.
    pub const ID_CONFLICT: &[u8; 5] = b"GD006";
    /// `depends_on` names an event that this site does not hold.
    pub const MISSING_DEPENDENCY: &[u8; 5] = b"GD007";
    /// There is no such stream.
    pub const UNDEFINED_STREAM: &[u8; 5] = b"GD008";
    /// There is no such consumer.
    pub const UNDEFINED_CONSUMER: &[u8; 5] = b"GD009";
    /// The event's canonical text is larger than `gundb.max_event_size`.
    pub const EVENT_TOO_LARGE: &[u8; 5] = b"GD010";
    /// A name stands for more than one site.
    pub const AMBIGUOUS_SITE: &[u8; 5] = b"GD011";
    /// The clocks given contradict each other.
    pub const CAUSAL_CYCLE: &[u8; 5] = b"GD012";
    /// A view's table is written to by maintenance alone.
    pub const VIEW_IS_DERIVED: &[u8; 5] = b"GD014";
    /// A strict view cannot fold the event.
    pub const CANNOT_FOLD: &[u8; 5] = b"GD015";
    /// The library was not loaded when the server started.
    pub const NOT_PRELOADED: &[u8; 5] = b"GD013";
}

impl Error {
    pub fn new(sqlstate: &[u8; 5], message: impl Into<String>) -> Error {
        Error { sqlstate: *sqlstate, message: message.into(), detail: None, hint: None }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Error {
        self.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The SQLSTATE as PostgreSQL packs it: six bits a character.
    pub fn sqlerrcode(&self) -> i32 {
        self.sqlstate.iter().rev().fold(0, |code, &c| (code << 6) + i32::from(c.wrapping_sub(b'0') & 0x3f))
    }
}

/// A defect of ours or a damaged database: say what was found.
pub fn internal(message: impl Into<String>) -> Failure {
    Error::new(state::INTERNAL, message).into()
}
