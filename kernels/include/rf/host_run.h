// rf/host_run.h: runs a grid on the CPU. Each lane is a fiber; barriers and exchanges are where lanes wait for others.
//
// A block runs on one thread. A lane runs until it waits or returns, then the next lane of its wave that can run does;
// when all lanes of a wave that have not returned wait for the same thing, they go on, and a barrier of the workgroup
// opens when every wave stands at it. A lane that has returned counts as arrived everywhere, as on a GPU.
//
// Each of these ends the launch with a message that names kernel, block and lane: lanes of one wave that wait for
// different things, an access to memory that is not there, an unaligned vector load, a write behind the dynamic LDS, a
// stack overflow.
#pragma once

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rf/host_fiber.h"

namespace rf_host {

using u8 = unsigned char;
using u32 = unsigned int;
using u64 = unsigned long long;

#if !defined(RF_WAVE)
#define RF_WAVE 32
#endif
static_assert(RF_WAVE == 32 || RF_WAVE == 64, "RF_WAVE is 32 or 64");

constexpr u32 MAX_LANES = 1024;
constexpr u32 MAX_WAVES = MAX_LANES / RF_WAVE;
constexpr u32 MAX_LDS = 64 * 1024;
constexpr u32 LDS_GUARD = 256;
constexpr u8 GUARD_BYTE = 0xa5;
constexpr u8 POISON_BYTE = 0xff;  // NaN as f32, half, bfloat16 and e4m3, and -1 as an integer
constexpr u32 SLOT_BYTES = 128;   // the most that a lane publishes in one exchange
constexpr u32 MAX_COPIES = 64;
constexpr size_t SIGNAL_STACK_BYTES = 64 * 1024;  // a lane whose stack is full needs another one to tell so

enum Order : u32 { FORWARD, REVERSE, RANDOM };

// How to run; a caller that passes none gets the environment's choice and the message on stderr.
struct Options {
    u32 order;
    u32 seed;
    u32 workers;
    u32 error_bytes;
    char* error;
};

enum Wait : u32 { NOTHING, EXCHANGE, BALLOT, WAVE_BARRIER, BLOCK_BARRIER };
inline const char* wait_name(u32 kind) {
    static const char* const names[] = {"nothing", "a shuffle", "a ballot", "wave_barrier()", "barrier()"};
    return names[kind];
}

struct Launch {
    void (*entry)(const void* args);
    const void* args;
    const char* name;
    u32 grid[3];
    u32 threads;
    u32 lds_bytes;
    u32 order;
    u32 seed;
    u64 blocks;
    u64 next_block;  // atomic
    u32 failed;      // atomic
    char message[512];
};

struct Wave {
    u64 exists;   // lanes of the block
    u64 live;     // of these, not returned yet
    u64 ready;    // of these, able to run
    u64 waiting;  // of these, waiting for the wave
    u32 kind;     // for what they wait
    u32 phase;    // which half of `slots` the next exchange uses
    alignas(64) u8 slots[2][RF_WAVE][SLOT_BYTES];
};

// Copies from global memory to LDS that a lane has asked for and not waited for.
struct Copies {
    u32 count;
    u32 committed;
    struct { void* to; const void* from; u32 group; } list[MAX_COPIES];
};

// A thread that runs blocks: the block's state, and the stacks of its lanes.
struct Worker {
    u32 lane;  // of the block; the one that runs now
    u32 block[3];
    Launch* launch;
    Fiber* running;
    Context main;
    u64 ready_waves;
    u64 random;
    Fiber* free_fibers;
    u32 fibers_made;
    u32 waves_used;
    bool in_block;
    Worker* next;
    char* stacks;
    char* signal_stack;
    u8* lds;
    void* tls_start;
    size_t tls_bytes;
    Fiber* fiber_of[MAX_LANES];
    Fiber fibers[MAX_LANES];
    Wave waves[MAX_WAVES];
    Copies copies[MAX_LANES];
};

static thread_local Worker* current = nullptr;

// ---- failures ------------------------------------------------------------------------------------------------------

// Ends the launch. The lane's stack is given up: kernels hold nothing that would need cleaning.
[[noreturn]] inline void abandon(Worker* w) {
    Context unused;
    switch_context(unused, w->main);
    __builtin_unreachable();
}
inline void record_failure(Worker* w, const char* text) {
    Launch* l = w->launch;
    if (__atomic_exchange_n(&l->failed, 1u, __ATOMIC_ACQ_REL)) return;
    snprintf(l->message, sizeof(l->message), "kernel %s, block (%u, %u, %u), lane %u: %s", l->name, w->block[0],
             w->block[1], w->block[2], w->lane, text);
}
[[noreturn]] __attribute__((noinline, cold, format(printf, 1, 2))) inline void fail(const char* format, ...) {
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    Worker* w = current;
    record_failure(w, text);
    abandon(w);
}

// ---- which lane runs next ------------------------------------------------------------------------------------------

inline u32 next_random(Worker* w) {
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return static_cast<u32>(w->random >> 32);
}
// A set bit of `mask` (not 0): the lowest, the highest or any.
inline u32 pick(Worker* w, u64 mask) {
    if (w->launch->order == FORWARD) return static_cast<u32>(__builtin_ctzll(mask));
    if (w->launch->order == REVERSE) return 63 - static_cast<u32>(__builtin_clzll(mask));
    const u32 turn = next_random(w) & 63;
    const u64 turned = turn ? mask >> turn | mask << (64 - turn) : mask;
    return (static_cast<u32>(__builtin_ctzll(turned)) + turn) & 63;
}

// What lanes that have returned "publish" is poison.
inline void poison_absent(Wave& wave) {
    for (u64 absent = ~wave.live & (~0ull >> (64 - RF_WAVE)); absent; absent &= absent - 1) {
        memset(wave.slots[wave.phase][__builtin_ctzll(absent)], POISON_BYTE, SLOT_BYTES);
    }
}
// Called when no lane of the wave can run. True: some can now.
inline bool settle(Wave& wave) {
    if (wave.live == 0 || wave.kind == BLOCK_BARRIER) return false;
    if (wave.live != ~0ull >> (64 - RF_WAVE)) poison_absent(wave);
    wave.phase ^= 1;
    wave.kind = NOTHING;
    wave.waiting = 0;
    wave.ready = wave.live;
    return true;
}
inline bool open_barrier(Worker* w) {
    for (u32 i = 0; i < w->waves_used; ++i) {
        Wave& wave = w->waves[i];
        if (wave.live == 0) continue;
        wave.kind = NOTHING;
        wave.waiting = 0;
        wave.ready = wave.live;
        w->ready_waves |= 1ull << i;
    }
    return w->ready_waves != 0;
}

constexpr u32 NO_LANE = ~0u;
// Chooses the lane to run after the running one has begun to wait or returned; NO_LANE: the block is done.
inline u32 next_lane(Worker* w) {
    u32 index = w->lane / RF_WAVE;
    Wave* wave = &w->waves[index];
    if (!wave->ready && !settle(*wave)) {
        w->ready_waves &= ~(1ull << index);
        if (!w->ready_waves && !open_barrier(w)) return NO_LANE;
        index = pick(w, w->ready_waves);
        wave = &w->waves[index];
    } else if (w->launch->order == RANDOM) {
        index = pick(w, w->ready_waves);
        wave = &w->waves[index];
    }
    return index * RF_WAVE + pick(w, wave->ready);
}

void fiber_main();

// The fiber to run `lane` on; one that has not begun gets a free one.
inline Fiber* fiber_for(Worker* w, u32 lane) {
    if (w->fiber_of[lane]) return w->fiber_of[lane];
    Fiber* f = w->free_fibers;
    if (f) {
        w->free_fibers = f->next_free;
    } else {
        f = &w->fibers[w->fibers_made];
        f->stack = w->stacks + STACK_BYTES * w->fibers_made++;
        f->prepare(fiber_main);
    }
    w->fiber_of[lane] = f;
    return f;
}
inline void set_free(Worker* w, Fiber* f) {
    f->next_free = w->free_fibers;
    w->free_fibers = f;
}

// The running lane waits for its wave (or, with BLOCK_BARRIER, for its block).
__attribute__((noinline)) inline void wait_for(u32 kind) {
    Worker* w = current;
    Wave& wave = w->waves[w->lane / RF_WAVE];
    const u64 bit = 1ull << (w->lane % RF_WAVE);
    if (wave.kind != kind) {
        if (wave.kind != NOTHING) {
            fail("divergence: it waits at %s while lane %u of its wave waits at %s", wait_name(kind),
                 w->lane / RF_WAVE * RF_WAVE + static_cast<u32>(__builtin_ctzll(wave.waiting)), wait_name(wave.kind));
        }
        wave.kind = kind;
    }
    wave.waiting |= bit;
    wave.ready &= ~bit;
    Fiber* self = w->running;
    const u32 lane = w->lane, to = next_lane(w);
    if (to == lane) return;
    w->lane = to;
    w->running = fiber_for(w, to);
    switch_context(self->context, w->running->context);
}

// The running lane has returned. Comes back when this fiber has another one to begin.
inline void lane_done(Worker* w) {
    Fiber* self = w->running;
    if (self->overflowed()) fail("its stack of %zu bytes overflowed", STACK_BYTES);
    Wave& wave = w->waves[w->lane / RF_WAVE];
    const u64 bit = 1ull << (w->lane % RF_WAVE);
    wave.live &= ~bit;
    wave.ready &= ~bit;
    const u32 to = next_lane(w);
    if (to == NO_LANE) {
        set_free(w, self);
        switch_context(self->context, w->main);
        return;
    }
    w->lane = to;
    if (!w->fiber_of[to]) {
        w->fiber_of[to] = self;
        return;
    }
    set_free(w, self);
    w->running = w->fiber_of[to];
    switch_context(self->context, w->running->context);
}
inline void fiber_main() {
    // A fiber stays with its worker, but a worker may run on another thread in the next launch: `current`, whose address
    // compilers keep, is asked only once.
    Worker* const w = current;
    for (;;) {
        w->launch->entry(w->launch->args);
        lane_done(w);
    }
}

// ---- a block -------------------------------------------------------------------------------------------------------

// Static LDS are thread-local variables, and all that this object has of those but `current`; found once a thread.
struct TlsSearch { const char* inside; void* start; size_t bytes; u32 objects; };
inline int find_tls(struct dl_phdr_info* info, size_t, void* data) {
    TlsSearch* s = static_cast<TlsSearch*>(data);
    ++s->objects;
    for (int i = 0; i < info->dlpi_phnum && info->dlpi_tls_data; ++i) {
        const char* start = static_cast<const char*>(info->dlpi_tls_data);
        if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
        if (s->inside < start || s->inside >= start + info->dlpi_phdr[i].p_memsz) continue;
        s->start = info->dlpi_tls_data;
        s->bytes = info->dlpi_phdr[i].p_memsz;
    }
    return 0;
}
inline void find_static_lds(Worker* w) {
    TlsSearch s = {reinterpret_cast<const char*>(&current), nullptr, 0, 0};
    dl_iterate_phdr(find_tls, &s);
    // In a program linked statically the C library's own variables lie in the same block.
    const bool shared = s.objects > 1;
    w->tls_start = shared ? s.start : nullptr;
    w->tls_bytes = shared ? s.bytes : 0;
}
__attribute__((noinline)) inline void poison_lds(Worker* w) {
    if (w->tls_start) {
        memset(w->tls_start, POISON_BYTE, w->tls_bytes);
        current = w;
    }
    memset(w->lds, POISON_BYTE, w->launch->lds_bytes);
    memset(w->lds + w->launch->lds_bytes, GUARD_BYTE, LDS_GUARD);
}
inline void check_lds_guard(Worker* w) {
    const u8* guard = w->lds + w->launch->lds_bytes;
    for (u32 i = 0; i < LDS_GUARD; ++i) {
        if (guard[i] == GUARD_BYTE) continue;
        char text[128];
        snprintf(text, sizeof(text), "byte %u of a dynamic LDS of %u bytes was written", w->launch->lds_bytes + i,
                 w->launch->lds_bytes);
        record_failure(w, text);
        return;
    }
}

inline void begin_waves(Worker* w, u32 threads) {
    w->waves_used = (threads + RF_WAVE - 1) / RF_WAVE;
    w->ready_waves = 0;
    for (u32 i = 0; i < w->waves_used; ++i) {
        Wave& wave = w->waves[i];
        const u32 lanes = threads - i * RF_WAVE;
        wave.exists = lanes >= RF_WAVE ? ~0ull >> (64 - RF_WAVE) : (1ull << lanes) - 1;
        wave.live = wave.ready = wave.exists;
        wave.waiting = wave.kind = wave.phase = 0;
        w->ready_waves |= 1ull << i;
    }
}
inline void run_block(Worker* w, u64 index) {
    Launch* l = w->launch;
    w->block[0] = static_cast<u32>(index % l->grid[0]);
    w->block[1] = static_cast<u32>(index / l->grid[0] % l->grid[1]);
    w->block[2] = static_cast<u32>(index / l->grid[0] / l->grid[1]);
    w->random = (index + 1) * 0x9e3779b97f4a7c15ull ^ (l->seed + 1) * 0xd1342543de82ef95ull;
    begin_waves(w, l->threads);
    memset(w->fiber_of, 0, sizeof(w->fiber_of[0]) * l->threads);
    for (u32 i = 0; i < l->threads; ++i) w->copies[i].count = w->copies[i].committed = 0;
    poison_lds(w);
    w->lane = pick(w, w->ready_waves) * RF_WAVE;
    w->lane += pick(w, w->waves[w->lane / RF_WAVE].ready);
    w->running = fiber_for(w, w->lane);
    w->in_block = true;
    switch_context(w->main, w->running->context);
    w->in_block = false;
    check_lds_guard(w);
}

// ---- a grid --------------------------------------------------------------------------------------------------------

// Workers are kept for the next launch; a launch takes as many as it has threads.
struct Pool {
    pthread_mutex_t lock;
    Worker* first;
};
static Pool pool = {PTHREAD_MUTEX_INITIALIZER, nullptr};

inline Worker* new_worker() {
    Worker* w = static_cast<Worker*>(aligned_alloc(64, (sizeof(Worker) + 63) / 64 * 64));
    w->stacks = map_stacks(MAX_LANES);
    w->signal_stack = static_cast<char*>(malloc(SIGNAL_STACK_BYTES));
    w->lds = static_cast<u8*>(aligned_alloc(256, MAX_LDS + LDS_GUARD));
    w->free_fibers = nullptr;
    w->fibers_made = 0;
    w->in_block = false;
    return w;
}
inline Worker* take_worker() {
    pthread_mutex_lock(&pool.lock);
    Worker* w = pool.first;
    if (w) pool.first = w->next;
    pthread_mutex_unlock(&pool.lock);
    return w ? w : new_worker();
}
inline void give_worker(Worker* w, bool broken) {
    if (broken) {  // lanes were given up in the middle: begin with fresh stacks
        w->free_fibers = nullptr;
        w->fibers_made = 0;
    }
    pthread_mutex_lock(&pool.lock);
    w->next = pool.first;
    pool.first = w;
    pthread_mutex_unlock(&pool.lock);
}

inline void* run_blocks(void* launch) {
    Launch* l = static_cast<Launch*>(launch);
    Worker* w = take_worker();
    w->launch = l;
    current = w;
    find_static_lds(w);
    stack_t signal_stack = {}, earlier_stack;
    signal_stack.ss_sp = w->signal_stack;
    signal_stack.ss_size = SIGNAL_STACK_BYTES;
    sigaltstack(&signal_stack, &earlier_stack);
    while (!__atomic_load_n(&l->failed, __ATOMIC_ACQUIRE)) {
        const u64 block = __atomic_fetch_add(&l->next_block, 1ull, __ATOMIC_RELAXED);
        if (block >= l->blocks) break;
        run_block(w, l->order == REVERSE ? l->blocks - 1 - block : block);
    }
    sigaltstack(&earlier_stack, nullptr);
    current = nullptr;
    give_worker(w, __atomic_load_n(&l->failed, __ATOMIC_ACQUIRE));
    return nullptr;
}

// ---- accesses to memory that is not there --------------------------------------------------------------------------

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static struct sigaction earlier_action[4];

// In a lane the fault ends the launch; elsewhere whoever handled the signal before gets it.
inline void on_fault(int signal, siginfo_t* info, void* context) {
    Worker* w = current;
    if (w && w->in_block) {
        char text[160];
        if (signal == SIGFPE || signal == SIGILL) {
            snprintf(text, sizeof(text), "illegal %s", signal == SIGFPE ? "division" : "instruction or trap");
        } else if (w->running->overflowed()) {
            snprintf(text, sizeof(text), "its stack of %zu bytes overflowed", STACK_BYTES);
        } else {
            snprintf(text, sizeof(text), "illegal access to address %p", info->si_addr);
        }
        record_failure(w, text);
        abandon(w);
    }
    for (int i = 0; i < 4; ++i) {
        if (SIGNALS[i] != signal) continue;
        const struct sigaction& earlier = earlier_action[i];
        if (earlier.sa_flags & SA_SIGINFO) return earlier.sa_sigaction(signal, info, context);
        if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) return earlier.sa_handler(signal);
        sigaction(signal, &earlier, nullptr);  // comes again, and then ends the process
    }
}
inline void install_handlers() {
    // The handler stays for the life of the process, so this object must, too.
    Dl_info self;
    if (dladdr(reinterpret_cast<void*>(&pool), &self) && self.dli_fname) {
        dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    for (int i = 0; i < 4; ++i) sigaction(SIGNALS[i], &action, &earlier_action[i]);
}

// ---- the entry -----------------------------------------------------------------------------------------------------

inline u32 parse_number(const char* digits) {
    u32 number = 0;
    for (; *digits >= '0' && *digits <= '9'; ++digits) number = number * 10 + static_cast<u32>(*digits - '0');
    return number;
}
inline Options options_from_environment() {
    Options o = {FORWARD, 0, 0, 0, nullptr};
    if (const char* order = getenv("ROCMFORGE_FAKE_HIP_ORDER")) {
        if (strcmp(order, "reverse") == 0) {
            o.order = REVERSE;
        } else if (order[0] >= '0' && order[0] <= '9') {
            o.order = RANDOM;
            o.seed = parse_number(order);
        }
    }
    if (const char* threads = getenv("ROCMFORGE_FAKE_HIP_THREADS")) {
        o.workers = parse_number(threads);
    }
    return o;
}
inline u32 worker_count(const Options& o, u64 blocks) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    u32 count = o.workers ? o.workers : cores > 0 ? static_cast<u32>(cores) : 1;
    if (count > 64) count = 64;
    return blocks < count ? static_cast<u32>(blocks) : count;
}
inline bool refuse(Launch& l, const char* text) {
    snprintf(l.message, sizeof(l.message), "kernel %s: %s", l.name, text);
    return false;
}
inline bool launchable(Launch& l, u32 bound) {
    if (!l.args) return refuse(l, "no arguments");
    if (!l.blocks) return refuse(l, "the grid is empty");
    if (l.threads == 0 || l.threads > MAX_LANES) return refuse(l, "a workgroup has 1 to 1024 lanes");
    if (bound && l.threads > bound) return refuse(l, "more lanes in a workgroup than RF_KERNEL(...) says");
    if (l.lds_bytes > MAX_LDS) return refuse(l, "more than 64 KiB of LDS");
    return true;
}
inline void run_grid(Launch& l, u32 workers) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_handlers);
    pthread_t threads[64];
    u32 started = 0;
    while (started + 1 < workers && pthread_create(&threads[started], nullptr, run_blocks, &l) == 0) ++started;
    run_blocks(&l);
    for (u32 i = 0; i < started; ++i) pthread_join(threads[i], nullptr);
}

// What RF_KERNEL says of the next RF_EXPORT: the most lanes a workgroup may have; 0: not known.
static u32 pending_kernels = 0, pending_bound = 0;
struct Bound {
    explicit Bound(u32 threads) { ++pending_kernels, pending_bound = threads; }
};
struct Export {
    u32 bound;
    Export() : bound(pending_kernels == 1 ? pending_bound : 0) { pending_kernels = 0; }
};

// Runs a kernel. 0: done; 1: refused or failed, with the message in options->error (or on stderr without options).
inline int run(const char* name, void (*entry)(const void*), u32 bound, const void* args, const u32 (&grid)[3],
               u32 threads, u32 lds_bytes, const Options* given) {
    const Options options = given ? *given : options_from_environment();
    Launch l = {};
    l.entry = entry;
    l.args = args;
    l.name = name;
    for (int i = 0; i < 3; ++i) l.grid[i] = grid[i];
    l.threads = threads;
    l.lds_bytes = lds_bytes;
    l.order = options.order;
    l.seed = options.seed;
    l.blocks = static_cast<u64>(grid[0]) * grid[1] * grid[2];
    const bool ran = launchable(l, bound);
    if (ran) run_grid(l, worker_count(options, l.blocks));
    if (ran && !l.failed) return 0;
    if (!given) fprintf(stderr, "%s\n", l.message);
    if (given && given->error && given->error_bytes) snprintf(given->error, given->error_bytes, "%s", l.message);
    return 1;
}

// The kernel as a function of its arguments' address.
template <auto F> struct Entry;
template <class A, void (*F)(A)> struct Entry<F> {
    static_assert(__is_trivially_copyable(A), "kernel arguments are plain bytes");
    static constexpr u32 BYTES = sizeof(A);
    static void run(const void* args) {
        A copy;
        memcpy(&copy, args, sizeof(A));
        F(copy);
    }
};

}  // namespace rf_host
