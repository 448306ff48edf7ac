#pragma once
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "core/device.h"
#include "core/error.h"
#include "core/parallel.h"

namespace fovea {

// The number of threads that prepare images: `asked`, or if that is 0 a number that suits the device. With a
// GPU the cores have little else to do: all but one, and 16 at most, each of which holds a batch. On the CPU
// one, since a core takes longer to compute an image than to prepare it.
inline int workers_for(Device device, int64_t asked) {
  if (asked > 0) return int(asked);
  return device == Device::cpu ? 1 : std::clamp(omp_get_num_procs() - 1, 1, 16);
}

// A bounded queue of items that background threads make ahead of time. It hands out make(first), make(first +
// 1), ... in this order, so that a training does not depend on the speed of its threads. At most `capacity`
// items are ready or being made.
template <class Item>
class Prefetch {
 public:
  // make may be called from several threads at once, with indices first .. end - 1. Throws Error if the
  // system gives no more threads.
  Prefetch(int threads, size_t capacity, int64_t first, int64_t end, std::function<Item(int64_t)> make)
      : make_(std::move(make)), capacity_(capacity), next_(first), taken_(first), end_(end) {
    try {
      for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      stop();
      fail(
          "thread {} of {} that prepare images cannot be started ({}): there is too little memory, or too "
          "many processes",
          threads_.size() + 1, threads, error.what());
    }
  }
  ~Prefetch() { stop(); }
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // Returns the next item, and waits for it if it is not ready. Rethrows what make() threw for it. Call it at
  // most end - first times.
  Item next() {
    const auto asked = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return !slots_.empty() && (slots_.front().item || slots_.front().error); });
    Slot slot = std::move(slots_.front());
    slots_.pop_front();
    ++taken_;
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count();
    lock.unlock();
    room_.notify_one();
    if (slot.error) std::rethrow_exception(slot.error);
    return std::move(*slot.item);
  }

  // Time that next() spent waiting so far.
  double seconds_waited() const { return waited_; }

 private:
  struct Slot {
    std::optional<Item> item;
    std::exception_ptr error;
  };

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    room_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void work() {
    set_num_threads(1);  // the other cores are for the training
    for (;;) {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] { return stop_ || next_ == end_ || slots_.size() < capacity_; });
      if (stop_ || next_ == end_) return;
      const int64_t index = next_++;
      slots_.emplace_back();
      lock.unlock();
      Slot slot;
      try {
        slot.item.emplace(make_(index));
      } catch (...) {
        slot.error = std::current_exception();
      }
      lock.lock();
      slots_[size_t(index - taken_)] = std::move(slot);
      lock.unlock();
      ready_.notify_all();
    }
  }

  std::function<Item(int64_t)> make_;
  size_t capacity_;
  int64_t next_, taken_, end_;  // next_: to be made; taken_: to be handed out, the index of slots_.front()
  std::deque<Slot> slots_;
  bool stop_ = false;
  double waited_ = 0;
  std::mutex mutex_;
  std::condition_variable ready_, room_;
  std::vector<std::thread> threads_;
};

}  // namespace fovea
