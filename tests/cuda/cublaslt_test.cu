// What the simulated cuBLASLt refuses, rule by rule.
#include "cuda/sim/cublaslt.h"

#include <catch2/catch.hpp>
#include <functional>

#include "cuda/runtime/memory.h"

using namespace fovea;
using Catch::Contains;

namespace {

// A product, column-major: D (3 x 2) = A (3 x 4) B (4 x 2). Each test changes one thing in it.
struct Request {
  cublasLtMatmulDescOpaque_t operation{CUBLAS_COMPUTE_32F, CUDA_R_32F};
  cublasLtMatrixLayoutOpaque_t a{CUDA_R_32F, 3, 4, 3}, b{CUDA_R_32F, 4, 2, 4}, c{CUDA_R_32F, 3, 2, 3},
      d{CUDA_R_32F, 3, 2, 3};
  cublasLtMatmulPreferenceOpaque_t preference;

  void set_types(cudaDataType_t in, cudaDataType_t out, cudaDataType_t bias) {
    a.type = b.type = in;
    c.type = d.type = out;
    operation.epilogue = CUBLASLT_EPILOGUE_BIAS;
    operation.bias_type = bias;
  }
  cublasLtMatmulAlgo_t choose() {
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    cublasLtMatmulAlgoGetHeuristic(nullptr, &operation, &a, &b, &c, &d, &preference, 1, &result, &found);
    REQUIRE(found == 1);
    return result.algo;
  }
};

std::string refusal(const std::function<void(Request&)>& change) {
  Request request;
  change(request);
  try {
    request.choose();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

// The same with its own memory, and the call.
struct Call : Request {
  cuda::Workspace<float> memory{1024}, scratch{1024};
  float one = 1, zero = 0;
  const void *alpha = &one, *beta = &zero, *a_data = memory.data(), *b_data = memory.data() + 64;
  void *d_data = memory.data() + 128, *workspace = scratch.data();
  const void* c_data = d_data;
  size_t workspace_bytes = 4096;

  Call() {
    preference.workspace_bytes = 4096;
    cuda::fill_bytes(memory.data(), 0, 4096);
  }
  void run(const cublasLtMatmulAlgo_t* algorithm) {
    cublasLtMatmul(nullptr, &operation, alpha, a_data, &a, b_data, &b, beta, c_data, &c, d_data, &d,
                   algorithm, workspace, workspace_bytes, nullptr);
  }
};

// Applies a change after the algorithm was chosen.
std::string refusal_of_call(const std::function<void(Call&)>& change,
                            const std::function<void(Call&)>& before = {}) {
  Call call;
  if (before) before(call);
  const cublasLtMatmulAlgo_t algorithm = call.choose();
  change(call);
  try {
    call.run(&algorithm);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("cuBLASLt has the products of its table, each with the bias of its output's type") {
  const auto types = [](cublasComputeType_t compute, cudaDataType_t scale, cudaDataType_t in,
                        cudaDataType_t out, cudaDataType_t bias) {
    return refusal([=](Request& r) {
      r.operation.compute = compute;
      r.operation.scale = scale;
      r.set_types(in, out, bias);
    });
  };
  CHECK(types(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F) == "none");
  CHECK(types(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF, CUDA_R_16BF) == "none");
  CHECK(types(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F) == "none");
  CHECK(types(CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F) == "none");

  CHECK_THAT(types(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF, CUDA_R_32F),
             Contains("the bias is CUDA_R_32F") && Contains("it must be CUDA_R_16BF"));
  CHECK_THAT(types(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F, CUDA_R_16BF),
             Contains("the bias is CUDA_R_16BF") && Contains("it must be CUDA_R_32F"));
  CHECK_THAT(types(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF),
             Contains("A and B of CUDA_R_32F and D of CUDA_R_16BF are not a row of its table"));
  CHECK_THAT(types(CUBLAS_COMPUTE_32F, CUDA_R_64F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F),
             Contains("the scale type CUDA_R_64F"));
  CHECK_THAT(types(CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F),
             Contains("the compute type CUBLAS_COMPUTE_64F"));
  CHECK_THAT(types(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F),
             Contains("A and B of CUDA_R_64F"));
}

TEST_CASE("without a bias its type does not matter, and by default it is D's") {
  CHECK(refusal([](Request& r) { r.operation.bias_type = CUDA_R_64F; }) == "none");
  CHECK(refusal([](Request& r) { r.operation.epilogue = CUBLASLT_EPILOGUE_BIAS; }) == "none");
}

TEST_CASE("matrices of two types, of sizes that do not fit, or empty, are refused") {
  CHECK_THAT(refusal([](Request& r) { r.b.type = CUDA_R_16BF; }),
             Contains("A is CUDA_R_32F and B is CUDA_R_16BF"));
  CHECK_THAT(refusal([](Request& r) { r.c.type = CUDA_R_16BF; }),
             Contains("C is CUDA_R_16BF and D is CUDA_R_32F"));
  CHECK_THAT(refusal([](Request& r) { r.operation.transa = CUBLAS_OP_T; }),
             Contains("op(A) is 4 x 3, op(B) is 4 x 2 and D is 3 x 2"));
  CHECK_THAT(refusal([](Request& r) { r.operation.transb = CUBLAS_OP_T; }), Contains("op(B) is 2 x 4"));
  CHECK_THAT(refusal([](Request& r) { r.d.columns = 5; }), Contains("D is 3 x 5"));
  CHECK_THAT(refusal([](Request& r) { r.c.rows = 2; }), Contains("C is 2 x 2 and D is 3 x 2"));
  CHECK_THAT(refusal([](Request& r) { r.a.columns = r.b.rows = 0; }), Contains("A is 3 x 0"));
  CHECK_THAT(refusal([](Request& r) { r.b.columns = r.d.columns = uint64_t(1) << 31; }),
             Contains("B is 4 x 2147483648: rows and columns must fit into 32 bits"));
}

TEST_CASE("a leading dimension is at least the number of rows") {
  CHECK_THAT(refusal([](Request& r) { r.a.leading = 2; }),
             Contains("the leading dimension of A is 2: it must be at least its 3 rows"));
  CHECK_THAT(refusal([](Request& r) { r.b.leading = 3; }), Contains("the leading dimension of B is 3"));
  CHECK_THAT(refusal([](Request& r) { r.c.leading = 0; }), Contains("the leading dimension of C is 0"));
  CHECK_THAT(refusal([](Request& r) { r.d.leading = -3; }), Contains("the leading dimension of D is -3"));
  CHECK(refusal([](Request& r) { r.a.leading = 7; }) == "none");
}

TEST_CASE("a product runs with the algorithm that was chosen for it, and with aligned pointers") {
  CHECK(refusal_of_call([](Call&) {}) == "none");
  CHECK_THAT(refusal_of_call([](Call& c) { c.a_data = c.memory.data() + 4; }),
             Contains("A is at") && Contains("chosen for addresses that are multiples of 256 bytes"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.b_data = c.memory.data() + 65; }), Contains("B is at"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.c_data = c.memory.data() + 129; }), Contains("C is at"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.d_data = c.memory.data() + 129; }), Contains("D is at"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.b_data = nullptr; }), Contains("the pointer of B is null"));
  const auto allow_16_bytes = [](Call& c) { c.preference.alignment_a = 16; };
  CHECK(refusal_of_call([](Call& c) { c.a_data = c.memory.data() + 4; }, allow_16_bytes) == "none");
  CHECK_THAT(refusal_of_call([](Call& c) { c.a_data = c.memory.data() + 1; }, allow_16_bytes),
             Contains("multiples of 16 bytes"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.a.leading = 4; }), Contains("chosen for another product"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.operation.epilogue = CUBLASLT_EPILOGUE_BIAS; }),
             Contains("chosen for another product"));
  Call call;
  CHECK_THROWS_WITH(call.run(nullptr), Contains("it has no algorithm"));
}

TEST_CASE("a bias is there, and as aligned as when the algorithm was chosen") {
  const auto with_bias = [](int64_t at) {  // -1: null
    return [at](Call& c) {
      c.operation.epilogue = CUBLASLT_EPILOGUE_BIAS;
      c.operation.bias = at < 0 ? nullptr : c.memory.data() + at;
    };
  };
  CHECK(refusal_of_call(with_bias(192), with_bias(-1)) == "none");
  CHECK_THAT(refusal_of_call(with_bias(-1), with_bias(-1)), Contains("the pointer of the bias is null"));
  CHECK_THAT(refusal_of_call(with_bias(196), with_bias(-1)),
             Contains("the bias is at") && Contains("multiples of 256 bytes"));
  CHECK(refusal_of_call(with_bias(200), with_bias(196)) == "none");
  CHECK_THAT(refusal_of_call(with_bias(197), with_bias(196)), Contains("multiples of 16 bytes"));
}

TEST_CASE("a workspace is as large as the algorithm was allowed, and aligned to 256 bytes") {
  CHECK_THAT(refusal_of_call([](Call& c) { c.workspace_bytes = 4095; }),
             Contains("the workspace has 4095 bytes: the algorithm was chosen with 4096"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.workspace = c.scratch.data() + 32; }),
             Contains("the workspace is at"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.workspace = nullptr; }),
             Contains("the pointer of the workspace is null"));
  alignas(256) std::byte on_host[4096];
  CHECK_THAT(refusal_of_call([&](Call& c) { c.workspace = on_host; }),
             Contains("the workspace at") && Contains("is not device memory"));
}

TEST_CASE("operands are device memory that was written, and scalars are host memory") {
  float on_host[256] = {};
  CHECK_THAT(refusal_of_call([&](Call& c) {
               c.preference.alignment_a = 1;
               c.a_data = c.memory.data() + 1024;
             }),
             Contains("A is wrong") && Contains("is not allocated"));
  CHECK_THAT(
      refusal_of_call([&](Call& c) { c.a_data = on_host; }, [](Call& c) { c.preference.alignment_a = 4; }),
      Contains("is not an address of device memory"));
#ifdef FOVEA_SIM_CHECKS
  CHECK_THAT(refusal_of_call([](Call& c) { c.a_data = c.scratch.data(); }),
             Contains("A is wrong: it is uninitialised"));
#endif
  CHECK_THAT(refusal_of_call([](Call& c) { c.alpha = c.memory.data(); }),
             Contains("alpha and beta must be in the host's memory"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.beta = nullptr; }), Contains("alpha or beta is null"));
  CHECK_THAT(refusal_of_call([](Call& c) { c.one = 2; }), Contains("alpha must be 1 and beta 0 or 1"));
}

TEST_CASE("an attribute has the size of its type") {
  Request request;
  const uint64_t transposed = CUBLAS_OP_T;
  CHECK_THROWS_WITH(cublasLtMatmulDescSetAttribute(&request.operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                   &transposed, sizeof transposed),
                    Contains("cublasLtMatmulDescSetAttribute: attribute 3 of 8 bytes: it has 4"));
  const uint32_t workspace = 1 << 20;
  CHECK_THROWS_WITH(
      cublasLtMatmulPreferenceSetAttribute(&request.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                           &workspace, sizeof workspace),
      Contains("cublasLtMatmulPreferenceSetAttribute: attribute 1 of 4 bytes: it has 8"));
}

TEST_CASE("columns of a product may have gaps between them") {
  Call call;
  call.a.leading = 5;
  call.d.leading = call.c.leading = 4;
  const std::vector<float> a{1, 2, 3, 0, 0, 4, 5, 6, 0, 0, 7, 8, 9, 0, 0, 10, 11, 12},
      b{1, 0, 0, 0, 0, 1, 0, 1};
  cuda::copy_to_device(call.memory.data(), a.data(), a.size() * sizeof(float));
  cuda::copy_to_device(call.memory.data() + 64, b.data(), b.size() * sizeof(float));
  const cublasLtMatmulAlgo_t algorithm = call.choose();
  call.run(&algorithm);
  std::vector<float> d(7);
  cuda::copy_to_host(d.data(), call.d_data, d.size() * sizeof(float));
  CHECK(d == std::vector<float>{1, 2, 3, 0, 14, 16, 18});
}
