#pragma once
#include <atomic>
#include <string>

namespace fovea {

// One thread waits for Ctrl-C (SIGINT), SIGTERM, and the SIGHUP of a closed terminal (unless it is ignored,
// as under nohup). Every other thread blocks these signals, and no handler ever runs: in oneDNN's generated
// code for matrix products the stack pointer may point into the heap, and a handler's frame would be written
// there (oneDNN issue 4845, fixed in March 2026).

// Starts that thread. main() calls this once, before any other thread starts.
void start_signal_thread();

// From the first call on, these signals set this flag, and a second signal ends the program at once. Before
// the first call they end the program as usual.
const std::atomic<bool>& stop_requested();

// Sets what to print on SIGTERM; at most 399 bytes, and "" prints nothing. mpirun sends SIGTERM to the
// remaining processes when one is lost: they wait for it in vain, and would otherwise print nothing.
void set_last_words(const std::string& text);

}  // namespace fovea
