//! Linked by `cargo xtask no-std`, never run: a program that has the core, and neither std, nor an allocator, nor a
//! panic that can be reached.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use anywire_core as _;

/// Drives the core with input of which the compiler knows nothing, so that it can leave out nothing.
///
/// What is not called here is not checked: every session and every framing belongs here.
fn drive(input: &[u8]) {
    // TODO: drive the sessions, once they are there.
    black_box(input);
}

/// The program, as far as the linker is concerned.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    static INPUT: [u8; 4096] = [0; 4096];
    drive(black_box(&INPUT[..]));
    loop {}
}

/// In the linked program only if something can panic.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
