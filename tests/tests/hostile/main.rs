//! Servers of files in a hostile world: killed, without room, without rights, raced against, left in the middle.
//!
//! Each test runs the program, talks to it over plain sockets, and looks into its folder.

/// Makes a test for each engine of each of these functions, which are told which one it is.
macro_rules! on_each_engine {
    ($($test:ident)*) => {
        on_each_engine! { @of poll $($test)* }
        on_each_engine! { @of threads $($test)* }
        on_each_engine! { @of processes $($test)* }
    };
    (@of $engine:ident $($test:ident)*) => {
        mod $engine {
            $(
                #[test]
                fn $test() {
                    super::$test(stringify!($engine));
                }
            )*
        }
    };
}

mod armed;
mod calls;
mod entries;
mod entropy;
mod gone;
mod killed;
mod leftovers;
mod mounted;
mod refused;
mod sizes;
mod sockets;
mod stopped;
mod swapped;
