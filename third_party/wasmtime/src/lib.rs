//! Wasmtime's C API, and what trivet-wasm needs and the API lacks.

use std::mem::forget;

use wasmtime::Config;
use wasmtime_wasi::WasiCtxBuilder;

pub use wasmtime_c_api::*;

/// Lets components open TCP and UDP sockets. Wasmtime 48 forbids both unless they are allowed one by
/// one (its pull request 13936), and its C API has no words for it: `wasi_config_inherit_network`
/// allows only addresses.
///
/// # Safety
///
/// `config` is what `wasi_config_new` gave and nothing has consumed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trivet_wasi_config_allow_sockets(config: *mut wasi_config_t) {
    // The struct is repr(C) and the builder its only field, which is private; Cargo.toml names the
    // exact version, and this refuses to compile when the sizes are no longer the same.
    const { assert!(size_of::<wasi_config_t>() == size_of::<WasiCtxBuilder>()) };
    let builder = unsafe { &mut *config.cast::<WasiCtxBuilder>() };
    builder.allow_tcp(true).allow_udp(true);
}

/// Takes the compiler out of a configuration: an engine that loads code which was compiled before has
/// no use for it, and is made faster without one.
///
/// # Safety
///
/// `config` is what `wasm_config_new` gave and nothing has consumed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trivet_config_disable_compiler(config: *mut wasm_config_t) {
    // As above.
    const { assert!(size_of::<wasm_config_t>() == size_of::<Config>()) };
    unsafe { &mut *config.cast::<Config>() }.enable_compiler(false);
}

/// Lets calls of WASI that wait for a file wait in the thread that makes them, as `wasmtime run` does.
/// Otherwise each goes to another thread and back.
///
/// # Safety
///
/// `config` is what `wasi_config_new` gave and nothing has consumed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trivet_wasi_config_wait_in_caller(config: *mut wasi_config_t) {
    let builder = unsafe { &mut *config.cast::<WasiCtxBuilder>() };
    builder.allow_blocking_current_thread(true);
}

/// Runs all that follows in this thread alone. WASI starts a runtime with a thread of its own, an epoll
/// and timers at the first call of a module otherwise, which those that neither poll nor use sockets
/// have no use for: with this one such a call would panic.
#[unsafe(no_mangle)]
pub extern "C" fn trivet_use_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    // It stays entered as long as the process lives.
    let runtime: &'static _ = Box::leak(Box::new(runtime.expect("a runtime without drivers")));
    forget(runtime.enter());
}
