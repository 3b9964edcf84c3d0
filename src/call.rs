//! Reading a function's arguments and building its result.
//!
//! Unsafe: datums. The SQL declaration of each function fixes the types of its arguments; a body that asks for
//! another type than `sql/` declares is a defect that its first call in the tests shows.

use crate::boundary::try_pg;
use crate::error::{Error, Result, internal, state};
use crate::scan::{sixteen, stored_hlc, stored_lane, to_stored};
use crate::spi;
use gundb_core::{Clock, Dot, Hlc, Lane};
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum, Oid};

/// One call of a function.
#[derive(Clone, Copy)]
pub struct Call {
    fcinfo: pg_sys::FunctionCallInfo,
}

/// The result NULL.
pub const NULL: Datum = Datum::null();

impl Call {
    /// # Safety
    /// `fcinfo` is valid for as long as the value lives.
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Call {
        Call { fcinfo }
    }

    pub fn fcinfo(&self) -> pg_sys::FunctionCallInfo {
        self.fcinfo
    }

    /// Argument `i`, counted from 0; None for NULL.
    pub fn arg(&self, i: usize) -> Option<Datum> {
        // SAFETY: PostgreSQL passes as many arguments as are declared.
        unsafe {
            if i >= (*self.fcinfo).nargs as usize {
                return None;
            }
            let argument = &*(*self.fcinfo).args.as_ptr().add(i);
            (!argument.isnull).then_some(argument.value)
        }
    }

    /// The type of argument `i` as the call was parsed: what a polymorphic function was given.
    pub fn arg_type(&self, i: usize) -> Oid {
        // SAFETY: fcinfo is valid.
        unsafe { pg_sys::get_fn_expr_argtype((*self.fcinfo).flinfo, i as i32) }
    }

    pub fn bytes<'a>(&self, i: usize) -> Option<&'a [u8]> {
        // SAFETY: declared as a varlena.
        self.arg(i).map(|datum| unsafe { spi::bytes_of(datum) })
    }

    pub fn text<'a>(&self, i: usize) -> Option<&'a str> {
        // SAFETY: declared as text.
        self.arg(i).map(|datum| unsafe { spi::text_of(datum) })
    }

    pub fn c_string<'a>(&self, i: usize) -> Option<&'a str> {
        self.arg(i).map(|datum| {
            // SAFETY: declared as cstring.
            let text = unsafe { core::ffi::CStr::from_ptr(datum.cast_mut_ptr()) };
            text.to_str().unwrap_or("\u{fffd}")
        })
    }

    pub fn int8(&self, i: usize) -> Option<i64> {
        self.arg(i).map(|datum| datum.value() as i64)
    }

    pub fn float8(&self, i: usize) -> Option<f64> {
        self.arg(i).map(|datum| f64::from_bits(datum.value() as u64))
    }

    pub fn int4(&self, i: usize) -> Option<i32> {
        self.arg(i).map(|datum| datum.value() as i32)
    }

    pub fn bool(&self, i: usize) -> Option<bool> {
        self.arg(i).map(|datum| datum.value() != 0)
    }

    pub fn uuid(&self, i: usize) -> Option<[u8; 16]> {
        // SAFETY: declared as uuid or another type of 16 bytes.
        self.arg(i).map(|datum| unsafe { sixteen(datum) })
    }

    pub fn hlc(&self, i: usize) -> Option<Hlc> {
        self.int8(i).map(stored_hlc)
    }

    pub fn lane(&self, i: usize) -> Option<Lane> {
        self.int8(i).map(stored_lane)
    }

    pub fn dot(&self, i: usize) -> Result<Option<Dot>> {
        let Some(datum) = self.arg(i) else { return Ok(None) };
        // SAFETY: declared as gundb.dot, 48 bytes.
        let bytes = unsafe { *datum.cast_mut_ptr::<[u8; 48]>() };
        Dot::from_bytes(&bytes).map(Some).map_err(|error| internal(format!("a stored dot is damaged: {error}")))
    }

    pub fn clock(&self, i: usize) -> Result<Option<Clock>> {
        let Some(bytes) = self.bytes(i) else { return Ok(None) };
        Clock::decode(bytes).map(Some).map_err(|error| internal(format!("a stored clock is damaged: {error}")))
    }

    /// A text array argument without NULLs.
    pub fn text_array(&self, i: usize) -> Result<Option<Vec<String>>> {
        let Some(datum) = self.arg(i) else { return Ok(None) };
        // SAFETY: declared as text[].
        let elements = unsafe { array_elements(datum, pg_sys::TEXTOID) };
        elements
            .into_iter()
            .map(|element| match element {
                // SAFETY: an element of a text array.
                Some(datum) => Ok(unsafe { spi::text_of(datum) }.to_owned()),
                None => Err(Error::new(state::INVALID_PARAMETER, "the array must not contain NULL").into()),
            })
            .collect::<Result<Vec<_>>>()
            .map(Some)
    }

    /// An argument that must not be NULL.
    pub fn required<T>(&self, value: Option<T>, name: &str) -> Result<T> {
        value.ok_or_else(|| Error::new(b"22004", format!("argument \"{name}\" must not be null")).into())
    }

    /// The result NULL.
    pub fn null(&self) -> Datum {
        // SAFETY: fcinfo is valid.
        unsafe { (*self.fcinfo).isnull = true };
        NULL
    }

    /// The result of a function that returns void.
    pub fn void(&self) -> Datum {
        NULL
    }

    /// A row of the function's declared result type.
    pub fn row(&self, values: &[Option<Datum>]) -> Result<Datum> {
        let mut descriptor: pg_sys::TupleDesc = core::ptr::null_mut();
        // SAFETY: fcinfo is valid; `values` has one entry a declared column, which is checked.
        unsafe {
            let class = pg_sys::get_call_result_type(self.fcinfo, core::ptr::null_mut(), &mut descriptor);
            if class != pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE || (*descriptor).natts as usize != values.len() {
                return Err(internal("a function's result does not have the declared columns"));
            }
            pg_sys::BlessTupleDesc(descriptor);
            let (mut datums, mut nulls) = split(values);
            let tuple = pg_sys::heap_form_tuple(descriptor, datums.as_mut_ptr(), nulls.as_mut_ptr());
            Ok(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data))
        }
    }

    /// A set-returning function's rows, kept in PostgreSQL's tuplestore.
    pub fn rows(&self) -> RowSet {
        self.row_set(0)
    }

    /// As [`Call::rows`], of a function whose rows are single values.
    pub fn values(&self) -> RowSet {
        // SRF_SINGLE_USE_EXPECTED, later named MAT_SRF_USE_EXPECTED_DESC.
        self.row_set(1)
    }

    fn row_set(&self, flags: u32) -> RowSet {
        // SAFETY: sets up the result of a function declared as SETOF or TABLE.
        unsafe {
            #[cfg(feature = "pg15")]
            pg_sys::SetSingleFuncCall(self.fcinfo, flags);
            #[cfg(not(feature = "pg15"))]
            pg_sys::InitMaterializedSRF(self.fcinfo, flags);
            RowSet { info: (*self.fcinfo).resultinfo.cast() }
        }
    }
}

fn split(values: &[Option<Datum>]) -> (Vec<Datum>, Vec<bool>) {
    (values.iter().map(|v| v.unwrap_or(NULL)).collect(), values.iter().map(Option::is_none).collect())
}

/// The rows of a set-returning function.
pub struct RowSet {
    info: *mut pg_sys::ReturnSetInfo,
}

impl RowSet {
    pub fn push(&self, values: &[Option<Datum>]) {
        let (datums, nulls) = split(values);
        self.push_all(&datums, &nulls);
    }

    /// A row whose values and NULLs stand apart already. PostgreSQL copies it.
    pub fn push_all(&self, values: &[Datum], nulls: &[bool]) {
        // SAFETY: the store and descriptor were set up in `rows`.
        unsafe {
            pg_sys::tuplestore_putvalues(
                (*self.info).setResult,
                (*self.info).setDesc,
                values.as_ptr().cast_mut(),
                nulls.as_ptr().cast_mut(),
            );
        }
    }

    /// Rows whose values come as texts: of the columns of these names, which the result has. Its others are NULL.
    pub fn of_texts<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<TextRows> {
        // SAFETY: the descriptor was set up in `rows`.
        unsafe {
            let descriptor = (*self.info).setDesc;
            let input = |name: &str| -> Result<Input> {
                let missing = || internal(format!("the result has no column {name:?}"));
                let text = std::ffi::CString::new(name).map_err(|_| missing())?;
                let number = pg_sys::SPI_fnumber(descriptor, text.as_ptr());
                let column = usize::try_from(number - 1).map_err(|_| missing())?;
                let (mut function, mut parameter) = (Oid::INVALID, Oid::INVALID);
                let type_of = pg_sys::SPI_gettypeid(descriptor, number);
                pg_sys::getTypeInputInfo(type_of, &mut function, &mut parameter);
                let mut found = pg_sys::FmgrInfo::default();
                pg_sys::fmgr_info(function, &mut found);
                Ok(Input { column, function: found, parameter })
            };
            let inputs = names.map(input).collect::<Result<Vec<_>>>()?;
            let rows = RowSet { info: self.info };
            let columns = (*descriptor).natts as usize;
            Ok(TextRows { rows, columns, inputs, memory: PgMemoryContexts::new("gundb row") })
        }
    }

    /// The result of the function itself.
    pub fn done(self) -> Datum {
        NULL
    }
}

/// How the text of a column is read.
struct Input {
    column: usize,
    function: pg_sys::FmgrInfo,
    parameter: Oid,
}

/// The rows of a set-returning function, made of texts.
pub struct TextRows {
    rows: RowSet,
    columns: usize,
    inputs: Vec<Input>,
    memory: PgMemoryContexts,
}

impl TextRows {
    /// A row: the texts in the order of the names that were given. PostgreSQL copies it.
    pub fn push(&mut self, texts: &[Option<String>]) -> Result<()> {
        unsafe extern "C-unwind" {
            // Raw: an error must reach `try_pg` whole.
            fn InputFunctionCall(
                function: *mut pg_sys::FmgrInfo,
                text: *mut core::ffi::c_char,
                parameter: Oid,
                modifier: i32,
            ) -> Datum;
        }
        let (mut values, mut nulls) = (vec![NULL; self.columns], vec![true; self.columns]);
        let inputs = &mut self.inputs;
        // SAFETY: each function is the input function of its column's type; what it makes is copied before it is freed.
        unsafe {
            self.memory.switch_to(|_| {
                for (input, text) in inputs.iter_mut().zip(texts) {
                    let Some(text) = text else { continue };
                    let text = ret::c_string(text)?.cast_mut_ptr();
                    let (function, parameter) = (&raw mut input.function, input.parameter);
                    values[input.column] = try_pg(|| InputFunctionCall(function, text, parameter, -1))?;
                    nulls[input.column] = false;
                }
                self.rows.push_all(&values, &nulls);
                Ok::<_, crate::error::Failure>(())
            })?;
            self.memory.reset();
        }
        Ok(())
    }
}

/// The elements of a one-dimensional array.
///
/// # Safety
/// `datum` is an array of `element_type`.
pub unsafe fn array_elements(datum: Datum, element_type: Oid) -> Vec<Option<Datum>> {
    unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
        let (mut length, mut by_value, mut align) = (0i16, false, 0);
        pg_sys::get_typlenbyvalalign(element_type, &mut length, &mut by_value, &mut align);
        let (mut elements, mut nulls, mut count) = (core::ptr::null_mut(), core::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            element_type,
            length as i32,
            by_value,
            align,
            &mut elements,
            &mut nulls,
            &mut count,
        );
        (0..count as usize).map(|i| (!*nulls.add(i)).then(|| *elements.add(i))).collect()
    }
}

/// Results.
pub mod ret {
    use super::*;

    pub fn hlc(hlc: Hlc) -> Datum {
        Datum::from(to_stored(hlc.to_bits()))
    }
    pub fn lane(lane: Lane) -> Datum {
        Datum::from(to_stored(lane.to_bits()))
    }
    pub fn dot(dot: &Dot) -> Datum {
        spi::fixed(&dot.to_bytes())
    }
    pub fn clock(clock: &Clock) -> Datum {
        spi::varlena(&clock.encode())
    }
    pub fn text(text: &str) -> Datum {
        spi::varlena(text.as_bytes())
    }
    pub fn c_string(text: &str) -> Result<Datum> {
        let text = std::ffi::CString::new(text).map_err(|_| internal("a text contained a NUL byte"))?;
        // SAFETY: pstrdup copies the string into the current memory context.
        Ok(Datum::from(unsafe { pg_sys::pstrdup(text.as_ptr()) }))
    }
    pub fn int8(value: i64) -> Datum {
        Datum::from(value)
    }
    pub fn bool(value: bool) -> Datum {
        Datum::from(value)
    }
    pub fn float8(value: f64) -> Datum {
        Datum::from(value.to_bits() as i64)
    }
    pub fn uuid(bytes: &[u8; 16]) -> Datum {
        spi::fixed(bytes)
    }
    /// A jsonb from its text, which must be JSON.
    pub fn jsonb(text: &str) -> Result<Datum> {
        unsafe extern "C-unwind" {
            // Raw: an error must reach `try_pg` whole.
            fn OidInputFunctionCall(
                function: Oid,
                text: *mut core::ffi::c_char,
                parameter: Oid,
                modifier: i32,
            ) -> Datum;
        }
        let text = c_string(text)?.cast_mut_ptr();
        // SAFETY: jsonb's own input function.
        try_pg(|| unsafe { OidInputFunctionCall(Oid::from(pg_sys::F_JSONB_IN), text, pg_sys::JSONBOID, -1) })
    }
}
