//! Linked by `cargo xtask no-std`, never run: a program that has the smoltcp frontend, and neither std nor an allocator.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use anywire_smoltcp as _;

/// Drives the stack with frames of which the compiler knows nothing, so that it can leave out nothing.
///
/// What is not called here is not checked: a stack with every kind of service belongs here.
fn drive(frames: &[u8]) {
    // TODO: drive a stack, once it is there.
    black_box(frames);
}

/// The program, as far as the linker is concerned.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    static FRAMES: [u8; 4096] = [0; 4096];
    drive(black_box(&FRAMES[..]));
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
