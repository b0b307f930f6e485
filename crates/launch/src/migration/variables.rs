//! The variables that MAX's serving code reads: the fields of its `Settings`, and what it asks the environment for.

use super::setting::Setting;

/// The MAX whose variables these are.
pub const KNOWN_VERSION: &str = "26.7";

const IMAGES: &str = "GPT-OSS takes no images, and the front end refuses them";
const RECORDING: &str = "it records what MAX's own HTTP server gets";
const ROLES: &str =
    "the front end sends requests to one engine, which does both, prefill and decode";
const SENT: &str = "MAX sends nothing then";
const METRICS: &str = "MAX's process for metrics is where the front end gets MAX's figures";

/// The row of the variable `name`; MAX takes the names of its `Settings` in upper and lower case.
pub fn find(name: &str) -> Option<&'static Setting> {
    let settings = SETTINGS
        .iter()
        .find(|row| row.name.eq_ignore_ascii_case(name));
    settings.or_else(|| OTHERS.iter().find(|row| row.name == name))
}

/// The fields of MAX's `Settings`, in its order, each under both its names where it has two.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    Setting::refused("MAX_SERVE_API_TYPES", "the front end speaks OpenAI's API alone").only(&["[\"openai\"]"]),
    Setting::refused("MAX_SERVE_OFFLINE_INFERENCE", "`mxfp4 serve` needs the process that this leaves out").only(&["false", "0"]),
    Setting::refused("MAX_SERVE_HEADLESS", "`mxfp4 serve` needs the process that this leaves out").only(&["false", "0"]),
    Setting::honoured("MAX_SERVE_HOST", "the front end's address; `--host` wins"),
    Setting::honoured("MAX_SERVE_PORT", "the front end's port; `--port` wins"),
    Setting::honoured("MAX_SERVE_METRICS_ENDPOINT_PORT", "the second port of `/metrics`"),
    Setting::refused("MAX_SERVE_METRICS_PORT", "its other name is the one that is read, MAX_SERVE_METRICS_ENDPOINT_PORT"),
    Setting::honoured("MAX_SERVE_HTTP_KEEPALIVE_TIMEOUT_S", "how many seconds a connection may be idle"),
    Setting::honoured("MAX_SERVE_MAX_QUEUE_SIZE", "how many requests may be on the way to the scheduler before others get 429; `mxfp4 serve` gives 512"),
    Setting::honoured("MAX_SERVE_MAX_PENDING_REQUESTS", "how many requests wait in the scheduler; `mxfp4 serve` gives 1024"),
    Setting::honoured("MAX_SERVE_MAX_REQUEST_BYTES", "the largest body of a request"),
    Setting::refused("MAX_SERVE_ALLOWED_IMAGE_ROOTS", IMAGES),
    Setting::refused("MAX_SERVE_MAX_LOCAL_IMAGE_BYTES", IMAGES),
    Setting::refused("MAX_SERVE_MAX_MEDIA_BYTES", IMAGES),
    Setting::refused("MAX_SERVE_MEDIA_KIND", IMAGES),
    Setting::refused("MAX_SERVE_MEDIA_URL_SSRF_PROTECTION_ENABLED", IMAGES),
    Setting::refused("MAX_SERVE_MEDIA_URL_ALLOWED_HOSTS", IMAGES),
    Setting::refused("MAX_SERVE_GENERATED_MEDIA_STORAGE_MB", "GPT-OSS makes text"),
    Setting::refused("MAX_SERVE_USE_CLIENT_CACHE_SALT", "the front end passes no salt on").only(&["false", "0"]),
    Setting::passed("MAX_SERVE_LOGS_CONSOLE_LEVEL", "the level of MAX's log; the front end's is `-v` and `--quiet`"),
    Setting::passed("MAX_SERVE_LOGS_OTLP_LEVEL", SENT).with_telemetry(),
    Setting::passed("MAX_SERVE_LOGS_FILE_LEVEL", "MAX's log in a file of its own"),
    Setting::passed("MAX_SERVE_LOGS_FILE_PATH", "MAX's log in a file of its own"),
    Setting::passed("MODULAR_STRUCTURED_LOGGING", "MAX's log lines are JSON; the front end's are not"),
    Setting::passed("MAX_SERVE_STRUCTURED_LOGGING", "another name of `MODULAR_STRUCTURED_LOGGING`"),
    Setting::passed("MAX_SERVE_LOGS_ENABLE_COMPONENTS", "what else is in MAX's log"),
    Setting::passed("MAX_SERVE_DISABLE_TELEMETRY", "`/metrics` lacks MAX's own figures; `mxfp4 serve` without `--telemetry` sends nothing and keeps them"),
    Setting::passed("MAX_SERVE_OTLP_METRICS_ENDPOINT", "MAX's own figures go there too"),
    Setting::passed("MAX_SERVE_KERNEL_TRACE_LEVEL", "what profilers see of the model's process; `batch` needs `--telemetry`"),
    Setting::refused("MAX_SERVE_KERNEL_TRACE_HEADERS", "the front end passes no headers on").only(&["false", "0"]),
    Setting::passed("MAX_SERVE_USE_HEARTBEAT", "MAX watches its model worker"),
    Setting::passed("MAX_SERVE_MW_TIMEOUT", "how long the model worker may take to start"),
    Setting::passed("MAX_SERVE_MW_TIMEOUT_S", "another name of `MAX_SERVE_MW_TIMEOUT`"),
    Setting::passed("MAX_SERVE_MW_HEALTH_FAIL", "how long the model worker may be silent"),
    Setting::passed("MAX_SERVE_MW_HEALTH_FAIL_S", "another name of `MAX_SERVE_MW_HEALTH_FAIL`"),
    Setting::refused("MAX_SERVE_EPLB_PROFILE", "only MAX's own HTTP server tells what it counts").only(&["false", "0"]),
    Setting::passed("MAX_SERVE_GC_DEBUG", "how long Python looks for garbage in the model worker"),
    Setting::passed("MAX_SERVE_GC_DEBUG_TOP_OBJECTS", "what Python's garbage in the model worker is"),
    Setting::passed("MAX_SERVE_TELEMETRY_WORKER_SPAWN_TIMEOUT", "how long MAX's process for metrics may take to start"),
    Setting::honoured("MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S", "how many seconds running requests get at the end; `--drain` wins"),
    Setting::refused("MAX_SERVE_METRIC_RECORDING_METHOD", METRICS).only(&["PROCESS", "NOOP"]),
    Setting::refused("MAX_SERVE_METRIC_RECORDING", METRICS).only(&["PROCESS", "NOOP"]),
    Setting::refused("MAX_SERVE_STREAM_MIN_CHUNK_TOKENS", "the front end sends what a step brings at once").only(&["1"]),
    Setting::refused("MAX_SERVE_TRANSACTION_RECORDING_FILE", RECORDING),
    Setting::refused("MAX_SERVE_TRANSACTION_RECORDING_INCLUDE_RESPONSES", RECORDING).only(&["false", "0"]),
    Setting::refused("MAX_SERVE_DI_BIND_ADDRESS", ROLES),
    Setting::passed("MAX_SERVE_LOG_PREFIX", "begins MAX's log lines"),
];

/// What MAX asks the environment for beside them.
#[rustfmt::skip]
pub const OTHERS: &[Setting] = &[
    Setting::passed("MAX_SERVE_BATCH_PRIORITY", "MAX's scheduler"),
    Setting::passed("MAX_SERVE_DEPLOYMENT_ID", "a label of MAX's own figures"),
    Setting::refused("MAX_SERVE_DI_LATENCY_PING", ROLES).only(&["0"]),
    Setting::refused("MAX_SERVE_DISPATCHER_CONFIG", "MAX has given it up"),
    Setting::passed("MAX_SERVE_DUMMY_MODEL", "the model repeats its prompt, for tests"),
    Setting::passed("MAX_SERVE_EPLB_STATS", "where experts are to lie, with several GPUs"),
    Setting::passed("MAX_SERVE_SCHEDULER_STATS_LOG_INTERVAL_S", "how often MAX logs what its scheduler does"),
    Setting::passed("MAX_SERVE_TG_PRIORITY_KV_PERCENTAGE", "MAX's scheduler"),
    Setting::passed("MAX_SERVE_TRACE_BATCH", "MAX logs each batch"),
    Setting::refused("MAX_SERVE_TTFT_JOIN", "it times what MAX's own HTTP server answers").only(&["0"]),
    Setting::passed("MAX_SERVE_USE_VENDOR_BLAS", "which matmuls are compiled"),
    Setting::passed("MAX_SERVE_USE_VENDOR_CCL", "what several GPUs talk by"),
    Setting::refused("MODULAR_DECODE_REQUEST_TTL_S", ROLES),
    Setting::refused("MODULAR_DECODE_STALL_TIMEOUT_S", ROLES),
    Setting::passed("OTEL_SDK_DISABLED", "`mxfp4 serve` sets it unless `--telemetry` is given"),
    Setting::passed("OTEL_EXPORTER_OTLP_COMPRESSION", SENT).with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_ENDPOINT", SENT).with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_INSECURE", SENT).with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", SENT).with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_PROTOCOL", SENT).with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", SENT).with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "MAX sends nothing then; with it, spans of batches, none of requests").with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_TRACES_INSECURE", SENT).with_telemetry(),
    Setting::passed("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", SENT).with_telemetry(),
    Setting::passed("MODULAR_USER_ID", "a label of MAX's own figures"),
];

/// What is read below MAX's HTTP server, by its kernels, caches and connections, as ever.
#[cfg(test)]
#[rustfmt::skip]
pub const BELOW: &[&str] = &[
    "BAZEL_TEST", "BLASST_LOG_THRESHOLD_MAG", "BUILD_WORKSPACE_DIRECTORY", "CONDA_PREFIX", "ENABLE_BLASST",
    "FI_EFA_USE_DEVICE_RDMA", "HSA_USERPTR_FOR_PAGED_MEM", "LD_PRELOAD", "MAX_BATCH_INFO_FILENAME",
    "MAX_DISABLE_FUSED_SWIGLU_NVFP4", "MAX_DISABLE_OVERLAP", "MAX_EAGER_ALLOW_LAZY_COMPILE", "MAX_GRAMMAR_COMPILE_LOG_MS",
    "MODULAR_AUTO_CAST_WEIGHTS", "MODULAR_DEBUG_CAPTURE_HOST_INPUTS", "MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE_PERCENT",
    "MODULAR_DISABLE_VENDOR_FALLBACK", "MODULAR_DKV_ADMISSION_TIMEOUT_S", "MODULAR_DKV_DISABLE_G0_TOUCH",
    "MODULAR_DKV_HEARTBEAT_DEGRADED_WARN_EVERY", "MODULAR_DKV_HEARTBEAT_INTERVAL_MS", "MODULAR_DKV_HEARTBEAT_MAX_FAILURES",
    "MODULAR_DKV_HEARTBEAT_RECONNECT_COOLDOWN_MS", "MODULAR_DKV_HEARTBEAT_RECONNECT_TIMEOUT_MS",
    "MODULAR_DKV_HEARTBEAT_REQUEST_TIMEOUT_MS", "MODULAR_DKV_NIXL_LISTEN_PORT", "MODULAR_DKV_TENANT_ID", "MODULAR_ENABLE_PROFILING",
    "MODULAR_KV_JENGA_MAX_HUGE_PAGE_BYTES", "MODULAR_KV_JENGA_MAX_PADDING_FRACTION", "MODULAR_KV_JENGA_MAX_TILING_RATIO",
    "MODULAR_MAX_ALLOCATOR", "MODULAR_MAX_ALLOCATOR_REEXEC", "MODULAR_MAX_DEBUG_PROFILING_ENABLED",
    "MODULAR_MAX_RELEASE_FREE_HOST_MEMORY", "MODULAR_MAX_RELEASE_HOST_WEIGHTS", "MODULAR_MAX_SHM_WATERMARK",
    "MODULAR_NIXL_TRANSFER_BACKEND", "MODULAR_ONLY_USE_KV_CONNECTOR_LAST_LEVEL_CACHE", "MODULAR_USE_LEGACY_KV_CACHE",
    "MODULAR_VIDEO_DECODE_THREADS", "MODULAR_XGRAMMAR_CACHE_MB", "NCCL_SOCKET_IFNAME", "NIXL_PLUGIN_DIR",
    "RUNFILES_DIR", "RUNFILES_MANIFEST_FILE", "UCCL_P2P_DISABLE_IPC", "UCCL_P2P_TRANSPORT", "UCCL_SOCKET_IFNAME",
    "UCX_NET_DEVICES", "UCX_TLS", "USE_EXPERIMENTAL_KERNELS",
];
