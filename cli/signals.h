#pragma once
#include <atomic>
#include <string>

namespace fovea {

// Ctrl-C (SIGINT), SIGTERM, and SIGHUP of a terminal that is closed (unless it is ignored, as under nohup),
// taken by a thread that waits for them: every other thread blocks them, and no handler ever runs. In
// oneDNN's generated code for products the stack pointer may point into the heap, and the frame of a handler
// would be written there (oneDNN's issue 4845, fixed there in March 2026).

// Starts that thread. For main() to call before anything starts another one, once.
void start_signal_thread();

// Set by these signals from the first call on; before it they end the program as they do any other. A
// second one ends the program at once.
const std::atomic<bool>& stop_requested();

// What is printed on SIGTERM, by which mpirun ends the processes that are left when one is lost: they wait
// for it in vain, and say no more. At most 399 bytes count; "": nothing.
void set_last_words(const std::string& text);

}  // namespace fovea
