//! What is bound: functions with a line about each, constants that headers define as macros, and where they go.

/// A function of a library.
pub struct Function {
    /// Its symbol.
    pub name: &'static str,
    /// The declaration that gives its type, where the headers rename the symbol itself.
    pub like: Option<&'static str>,
    /// Whether a library may lack it.
    pub optional: bool,
    /// One line of documentation.
    pub doc: &'static str,
}

const fn f(name: &'static str, doc: &'static str) -> Function {
    Function { name, like: None, optional: false, doc }
}

const fn optional(name: &'static str, doc: &'static str) -> Function {
    Function { name, like: None, optional: true, doc }
}

/// A table of function pointers that one library fills.
pub struct Table {
    /// The Rust struct of the function pointers.
    pub functions: &'static str,
    /// The Rust type that gets a method for each function.
    pub owner: &'static str,
    /// What the methods return for an optional function that the library lacks.
    pub absent: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// The functions.
    pub list: &'static [Function],
}

/// A group of generated files in one crate.
pub struct Group {
    /// Name for `--only`.
    pub name: &'static str,
    /// Folder of the generated files, from the workspace's root.
    pub folder: &'static str,
    /// Headers in the order of inclusion.
    pub headers: &'static [&'static str],
    /// The library in words, and expressions for its version.
    pub library: &'static str,
    pub version: [&'static str; 3],
    /// Types that no function mentions, and are wanted.
    pub extra_types: &'static [&'static str],
    /// Structs whose layout is asserted field by field.
    pub layouts: &'static [&'static str],
    /// Macros with a value of the type `unsigned int`.
    pub constants: &'static [&'static str],
    /// Tables, each with the file that it is written to.
    pub tables: &'static [(&'static str, Table)],
    /// Types that another crate's bindings define already.
    pub foreign: &'static [&'static str],
    /// `use` lines of the generated files, beside those of C's types.
    pub imports: &'static str,
    /// The crate of the macros that generated code calls.
    pub macros: &'static str,
}

/// Every group.
pub static GROUPS: &[Group] = &[Group {
    name: "hip",
    folder: "crates/hip-sys/src/generated",
    headers: &["hip/hip_runtime_api.h", "hip/hip_deprecated.h", "hip/library_types.h", "hip/hiprtc.h"],
    library: "HIP",
    version: ["HIP_VERSION_MAJOR", "HIP_VERSION_MINOR", "HIP_VERSION_PATCH"],
    extra_types: &["hipFunction_attribute", "hipDataType", "hipMemoryType", "hipStreamCaptureStatus"],
    layouts: &["hipDeviceProp_tR0600", "hipDeviceProp_tR0000"],
    constants: &[
        "hipStreamDefault",
        "hipStreamNonBlocking",
        "hipEventDefault",
        "hipEventBlockingSync",
        "hipEventDisableTiming",
        "hipHostMallocDefault",
        "hipHostMallocPortable",
        "hipHostMallocMapped",
        "hipHostMallocWriteCombined",
        "hipHostRegisterDefault",
        "hipHostRegisterPortable",
        "hipHostRegisterMapped",
    ],
    tables: &[("runtime", RUNTIME), ("rtc", RTC)],
    foreign: &[],
    imports: "",
    macros: "crate",
}];

const RUNTIME: Table = Table {
    functions: "RuntimeFunctions",
    owner: "crate::Api",
    absent: "hipError_t::hipErrorNotSupported",
    doc: "Function pointers of the HIP runtime.",
    list: &[
        f("hipInit", "Initialises the runtime; `flags` must be 0."),
        f("hipDriverGetVersion", "Version of the driver, in the encoding of [`crate::Version`]."),
        f("hipRuntimeGetVersion", "Version of the runtime, in the encoding of [`crate::Version`]."),
        f("hipGetDeviceCount", "Number of devices."),
        f("hipGetDevice", "The calling thread's current device."),
        f("hipSetDevice", "Makes a device the calling thread's current one."),
        f("hipDeviceGetAttribute", "One property of a device as an integer."),
        f("hipDeviceGetName", "Name of a device, with a zero at its end, in at most `len` bytes."),
        f("hipDeviceTotalMem", "Bytes of memory of a device."),
        f("hipDeviceGetPCIBusId", "PCI address of a device as text, in at most `len` bytes."),
        optional("hipGetDevicePropertiesR0600", "Properties of a device, in the layout of ROCm 6 and later."),
        optional("hipGetDevicePropertiesR0000", "Properties of a device, in the layout before ROCm 6."),
        Function {
            name: "hipGetDeviceProperties",
            like: Some("hipGetDevicePropertiesR0000"),
            optional: true,
            doc: "Properties of a device: the symbol keeps the layout from before ROCm 6 in all versions.",
        },
        f("hipDeviceSynchronize", "Waits for all work of the current device."),
        f("hipDeviceReset", "Frees all that the process holds on the current device."),
        f("hipDeviceCanAccessPeer", "Whether a device can address the memory of another."),
        f("hipDeviceEnablePeerAccess", "Lets the current device address the memory of another; `flags` must be 0."),
        f("hipMemGetInfo", "Free and total bytes of the current device's memory."),
        f("hipMalloc", "Allocates device memory."),
        f("hipFree", "Frees device memory."),
        f("hipHostMalloc", "Allocates pinned host memory."),
        f("hipHostFree", "Frees pinned host memory."),
        f("hipHostRegister", "Pins host memory that exists."),
        f("hipHostUnregister", "Unpins registered host memory."),
        f("hipMemcpy", "Copies, and returns when the copy is done as seen by the host."),
        f("hipMemcpyAsync", "Enqueues a copy."),
        f("hipMemcpyPeerAsync", "Enqueues a copy between two devices."),
        f("hipMemset", "Fills bytes."),
        f("hipMemsetAsync", "Enqueues a fill of bytes."),
        f("hipMemsetD32Async", "Enqueues a fill of 32-bit values."),
        f("hipStreamCreateWithFlags", "Creates a stream on the current device."),
        f("hipStreamDestroy", "Destroys a stream after its work is done."),
        f("hipStreamSynchronize", "Waits for a stream's work."),
        f("hipStreamQuery", "Whether a stream's work is done: success, or `hipErrorNotReady`."),
        f("hipStreamWaitEvent", "Makes a stream wait for an event; `flags` must be 0."),
        f("hipEventCreateWithFlags", "Creates an event."),
        f("hipEventDestroy", "Destroys an event."),
        f("hipEventRecord", "Records an event in a stream."),
        f("hipEventSynchronize", "Waits for an event."),
        f("hipEventQuery", "Whether an event has happened: success, or `hipErrorNotReady`."),
        f("hipEventElapsedTime", "Milliseconds between two recorded events."),
        f("hipModuleLoadData", "Loads a code object for the current device."),
        f("hipModuleUnload", "Unloads a module; its functions must not be used afterwards."),
        f("hipModuleGetFunction", "A kernel of a module by name."),
        f("hipFuncGetAttribute", "One attribute of a kernel of a module."),
        f("hipFuncSetAttribute", "Sets an attribute of a kernel that the program itself registered."),
        f("hipModuleLaunchKernel", "Enqueues a kernel: grid in blocks, block in threads."),
        f(
            "hipModuleOccupancyMaxActiveBlocksPerMultiprocessor",
            "How many blocks of a kernel fit on one compute unit at once.",
        ),
        f("hipStreamBeginCapture", "Starts to record a stream's work into a graph instead of running it."),
        f("hipStreamEndCapture", "Ends the recording and gives the graph, null where the capture was invalidated."),
        f("hipStreamIsCapturing", "Whether a stream is recording."),
        f("hipGraphInstantiate", "Makes an executable graph."),
        f("hipGraphLaunch", "Enqueues an executable graph."),
        f("hipGraphDestroy", "Destroys a graph."),
        f("hipGraphExecDestroy", "Destroys an executable graph."),
        f("hipGraphGetNodes", "The nodes of a graph, or only their number where `nodes` is null."),
        f("hipGetErrorName", "Name of a status, a string with static lifetime."),
        f("hipGetErrorString", "Description of a status, a string with static lifetime."),
        f("hipGetLastError", "The calling thread's last failure, which this call clears."),
    ],
};

const RTC: Table = Table {
    functions: "RtcFunctions",
    owner: "crate::Rtc",
    absent: "hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR",
    doc: "Function pointers of hipRTC.",
    list: &[
        f("hiprtcVersion", "Version of hipRTC."),
        f("hiprtcGetErrorString", "Description of a status, a string with static lifetime."),
        f("hiprtcCreateProgram", "Makes a program of a source and of headers that it includes by name."),
        f("hiprtcCompileProgram", "Compiles a program with the given options."),
        f("hiprtcGetProgramLogSize", "Bytes of the compiler's messages, with the zero at the end."),
        f("hiprtcGetProgramLog", "The compiler's messages."),
        f("hiprtcGetCodeSize", "Bytes of the code object."),
        f("hiprtcGetCode", "The code object."),
        f("hiprtcDestroyProgram", "Frees a program and nulls the handle."),
    ],
};
