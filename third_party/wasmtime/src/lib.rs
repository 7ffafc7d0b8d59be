//! Wasmtime's C API, and what trivet-wasm needs and the API lacks.

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
