#include "train/diagnose/op_times.h"

#include <catch2/catch.hpp>

#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"

using namespace fovea;

TEST_CASE("op times: each op with its calls, forward and backward, and nothing afterwards") {
  Random random(1);
  Tensor x = randn({100}, random);
  x.set_requires_grad();
  const auto find = [](const OpTimes& times, const std::string& op) {
    for (const OpTime& time : times.times())
      if (time.op == op) return time;
    return OpTime{};
  };
  {
    OpTimes times;
    sum(swish(swish(x))).backward();
    times.mark("update");
    CHECK(find(times, "swish").calls == 2);
    CHECK(find(times, "swish").forward > 0);
    CHECK(find(times, "swish").backward > 0);
    CHECK(find(times, "sum").calls == 1);
    CHECK(find(times, "update").calls == 1);
    CHECK(find(times, "update").backward == 0);
    {
      OpTimes inner;  // both record it
      sum(x);
      CHECK(inner.times().size() == 1);
      CHECK(find(times, "sum").calls == 2);
    }
    const NoGrad no_grad;
    sum(x);
    CHECK(find(times, "sum").calls == 3);
  }
}
