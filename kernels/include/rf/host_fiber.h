// rf/host_fiber.h: stacks that take turns on one thread; what host mode runs lanes on.
//
// A switch saves the registers that a called function must keep, changes the stack and restores them: some nanoseconds.
// x86-64 and aarch64 have their own few instructions; other processors use ucontext.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(RF_FIBER_UCONTEXT)
#define RF_FIBER_UCONTEXT
#endif
#if defined(RF_FIBER_UCONTEXT)
#include <ucontext.h>
#endif

// Several objects of one program may contain these lines, therefore weak; none shows them to others, therefore hidden.
#define RF_FIBER_SWITCH \
    ".weak rf_fiber_switch\n .hidden rf_fiber_switch\n .type rf_fiber_switch, %function\nrf_fiber_switch:\n"

#if defined(RF_FIBER_UCONTEXT)
#elif defined(__x86_64__)
__asm__(".pushsection .text\n" RF_FIBER_SWITCH
        " pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        " movq %rsp, (%rdi)\n"
        " movq %rsi, %rsp\n"
        " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
        " ret\n"
        ".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n .p2align 2\n" RF_FIBER_SWITCH
        " sub sp, sp, #160\n"
        " stp x19, x20, [sp]\n stp x21, x22, [sp, #16]\n stp x23, x24, [sp, #32]\n stp x25, x26, [sp, #48]\n"
        " stp x27, x28, [sp, #64]\n stp x29, x30, [sp, #80]\n"
        " stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n"
        " mov x9, sp\n str x9, [x0]\n mov sp, x1\n"
        " ldp x19, x20, [sp]\n ldp x21, x22, [sp, #16]\n ldp x23, x24, [sp, #32]\n ldp x25, x26, [sp, #48]\n"
        " ldp x27, x28, [sp, #64]\n ldp x29, x30, [sp, #80]\n"
        " ldp d8, d9, [sp, #96]\n ldp d10, d11, [sp, #112]\n ldp d12, d13, [sp, #128]\n ldp d14, d15, [sp, #144]\n"
        " add sp, sp, #160\n"
        " ret\n"
        ".popsection\n");
#endif

#if !defined(RF_FIBER_UCONTEXT)
// Stores where this stack stands in *save and goes on where `load` stood.
extern "C" __attribute__((visibility("hidden"))) void rf_fiber_switch(void** save, void* load);
#endif

namespace rf_host {

constexpr size_t STACK_BYTES = 128 * 1024;
constexpr uint64_t STACK_CANARY = 0x5ca1ab1e0ddba11ull;

// Where a stack stands while another one runs.
struct Context {
#if defined(RF_FIBER_UCONTEXT)
    ucontext_t machine;
#else
    void* sp;
#endif
};

inline void switch_context(Context& save, Context& load) {
#if defined(RF_FIBER_UCONTEXT)
    swapcontext(&save.machine, &load.machine);
#else
    rf_fiber_switch(&save.sp, load.sp);
#endif
}

struct Fiber {
    Context context;
    char* stack;  // lowest address; holds the canary
    Fiber* next_free;

    // Makes the first switch to this fiber call `entry`, which never returns.
    void prepare(void (*entry)()) {
        *reinterpret_cast<uint64_t*>(stack) = STACK_CANARY;
#if defined(RF_FIBER_UCONTEXT)
        getcontext(&context.machine);
        context.machine.uc_stack.ss_sp = stack;
        context.machine.uc_stack.ss_size = STACK_BYTES;
        context.machine.uc_link = nullptr;
        makecontext(&context.machine, entry, 0);
#else
        void** top = reinterpret_cast<void**>(stack + STACK_BYTES);
        for (int i = 1; i <= 24; ++i) top[-i] = nullptr;
#if defined(__x86_64__)
        // Six saved registers, the address that `ret` takes, and a zero where a caller's address would be.
        top[-2] = reinterpret_cast<void*>(entry);
        context.sp = top - 8;
#else
        top[-20 + 11] = reinterpret_cast<void*>(entry);  // x30
        context.sp = top - 20;
#endif
#endif
    }
    bool overflowed() const { return *reinterpret_cast<const uint64_t*>(stack) != STACK_CANARY; }
};

// `count` stacks in one mapping, whose pages the system supplies as they are touched; below the first, one without access.
inline char* map_stacks(size_t count) {
    const size_t guard = STACK_BYTES;
    void* p = mmap(nullptr, guard + count * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (p == MAP_FAILED || mprotect(p, guard, PROT_NONE) != 0) abort();
    return static_cast<char*>(p) + guard;
}

}  // namespace rf_host
