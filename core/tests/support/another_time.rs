//! Tells a process another time of day: loaded before the C library
//! (`LD_PRELOAD`), it adds the seconds that stand in the file `CLOCK_OFFSET_FILE`.
//! `rustc` alone builds it. It allocates nothing, since allocators ask for the
//! time: that is what workerd hangs at under `libfaketime`.

use std::ffi::{c_char, c_int, c_long, c_void};

const REALTIME: c_int = 0;
const REALTIME_COARSE: c_int = 5;
#[cfg(target_arch = "x86_64")]
const CLOCK_GETTIME: c_long = 228;
#[cfg(target_arch = "aarch64")]
const CLOCK_GETTIME: c_long = 113;

#[repr(C)]
pub struct Timespec {
    s: i64,
    ns: i64,
}

#[repr(C)]
pub struct Timeval {
    s: i64,
    us: i64,
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn read(file: c_int, into: *mut c_void, most: usize) -> isize;
    fn close(file: c_int) -> c_int;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    unsafe {
        let outcome = syscall(CLOCK_GETTIME, clock as c_long, time) as c_int;
        if outcome == 0 && (clock == REALTIME || clock == REALTIME_COARSE) {
            (*time).s += offset_s();
        }
        outcome
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut Timeval, _: *mut c_void) -> c_int {
    let mut now = Timespec { s: 0, ns: 0 };
    unsafe {
        let outcome = clock_gettime(REALTIME, &mut now);
        if !time.is_null() {
            (*time).s = now.s;
            (*time).us = now.ns / 1000;
        }
        outcome
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(into: *mut i64) -> i64 {
    let mut now = Timespec { s: 0, ns: 0 };
    unsafe {
        clock_gettime(REALTIME, &mut now);
        if !into.is_null() {
            *into = now.s;
        }
    }
    now.s
}

/// What the file says now; nothing where there is none.
unsafe fn offset_s() -> i64 {
    let mut text = [0_u8; 20];
    unsafe {
        let path = getenv(c"CLOCK_OFFSET_FILE".as_ptr());
        if path.is_null() {
            return 0;
        }
        let file = open(path, 0);
        if file < 0 {
            return 0;
        }
        read(file, text.as_mut_ptr().cast(), text.len());
        close(file);
    }
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let seconds = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    if text[0] == b'-' { -seconds } else { seconds }
}
