#include "nn/io/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "core/error.h"

namespace fovea {

// One pickle: a stack of values, marks in it where a tuple or the like begins, and the memo, by which a value
// is used again.
class PickleReader::Machine {
 public:
  Machine(PickleReader& reader, const std::vector<std::string_view>& allowed)
      : reader_(reader), allowed_(allowed) {}

  const PickleValue& run() {
    for (;;) {
      const size_t place = reader_.at_;
      const char opcode = bytes(1)[0];
      if (opcode == '.') return *pop();
      require(step(opcode),
              "{}: byte {} of the pickle is the instruction 0x{:02x}, which files of weights do "
              "not need",
              reader_.source_, place, uint8_t(opcode));
    }
  }

 private:
  using Value = PickleValue;
  static constexpr size_t most_values = 10'000'000;  // a large network's state_dict has ten thousand

  [[noreturn]] void damaged(const char* what) const {
    fail("{} is cut short or damaged: {} at byte {} of the pickle", reader_.source_, what, reader_.at_);
  }

  std::string_view bytes(uint64_t count) {
    if (count > reader_.text_.size() - reader_.at_) damaged("it ends inside an instruction");
    const std::string_view result = reader_.text_.substr(reader_.at_, size_t(count));
    reader_.at_ += size_t(count);
    return result;
  }
  // Little-endian, as all of pickle's binary numbers but BINFLOAT are.
  template <class T>
  T number() {
    T result;
    std::memcpy(&result, bytes(sizeof result).data(), sizeof result);
    return result;
  }
  std::string_view line() {
    const size_t end = reader_.text_.find('\n', reader_.at_);
    if (end == std::string_view::npos) damaged("a line without an end");
    const std::string_view result = reader_.text_.substr(reader_.at_, end - reader_.at_);
    reader_.at_ = end + 1;
    return result;
  }

  template <class T>
  void push(T value) {
    require(reader_.values_.size() < most_values, "{}: its pickle has more than {} values", reader_.source_,
            most_values);
    stack_.push_back(&reader_.values_.emplace_back(PickleValue{std::move(value)}));
  }
  Value* pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) damaged("nothing is on the stack");
    Value* const result = stack_.back();
    stack_.pop_back();
    return result;
  }
  Value* top() {
    Value* const result = pop();
    stack_.push_back(result);
    return result;
  }
  template <class T>
  T& top_as() {
    T* const result = std::get_if<T>(&top()->value);
    if (!result) damaged("a value of another kind than its instruction needs");
    return *result;
  }
  // What lies above the latest mark, in order.
  Value::List pop_mark() {
    if (marks_.empty()) damaged("a mark is missing");
    const auto begin = stack_.begin() + std::ptrdiff_t(marks_.back());
    Value::List result(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return result;
  }
  void tuple(size_t count) {
    Value::List items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push(std::move(items));
  }
  void append(const Value::List& items) {
    Value::List& list = top_as<Value::List>();
    list.insert(list.end(), items.begin(), items.end());
  }
  // items: key, value, key, value, ...
  void set(const Value::List& items) {
    if (items.size() % 2) damaged("a key without a value");
    Value::Dict& dict = top_as<Value::Dict>();
    for (size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
  }
  void global(std::string_view module, std::string_view name) {
    std::string full = fmt::format("{}.{}", module, name);
    require(std::find(allowed_.begin(), allowed_.end(), full) != allowed_.end(),
            "{} names {}, which is not among the few classes that files of weights need: it holds more than "
            "weights, or was made to do harm. Nothing of it was run",
            reader_.source_, escaped(full));
    push(Value::Global{std::move(full)});
  }
  void call() {
    const Value *arguments = pop(), *function = pop();
    if (!function->as<Value::Global>()) damaged("a call of what is no function");
    const auto* list = arguments->as<Value::List>();
    if (!list) damaged("a call without arguments");
    if (function->as<Value::Global>()->name == "collections.OrderedDict") return ordered_dict(*list);
    push(Value::Call{function, arguments});
  }
  // OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it.
  void ordered_dict(const Value::List& arguments) {
    Value::Dict dict;
    const auto* pairs = arguments.empty() ? nullptr : arguments[0]->as<Value::List>();
    if (!arguments.empty() && !pairs) damaged("an OrderedDict of something else than pairs");
    for (size_t i = 0; pairs && i < pairs->size(); ++i) {
      const auto* pair = (*pairs)[i]->as<Value::List>();
      if (!pair || pair->size() != 2) damaged("an OrderedDict of something else than pairs");
      dict.emplace_back((*pair)[0], (*pair)[1]);
    }
    push(std::move(dict));
  }
  void build() {
    const Value* state = pop();
    // A state_dict's own attribute `_metadata` is such a state of an OrderedDict: not needed.
    if (auto* made = std::get_if<Value::Call>(&top()->value)) made->state = state;
  }
  void remember(uint64_t index) { memo_[index] = top(); }
  void recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) damaged("a value that was never remembered");
    stack_.push_back(found->second);
  }
  uint64_t decimal(std::string_view text) {
    uint64_t result = 0;
    if (text.empty() || text.size() > 18) damaged("a number of no or too many digits");
    for (const char c : text) {
      if (c < '0' || c > '9') damaged("a number with other signs than digits");
      result = result * 10 + uint64_t(c - '0');
    }
    return result;
  }
  // Two's complement of any length; beyond 64 bits only the magic number of old files has a use.
  void long_integer(std::string_view content) {
    if (content.size() > 8) return push(Value::Bytes{content});
    uint64_t result = !content.empty() && content.back() < 0 ? ~uint64_t(0) : 0;
    std::memcpy(&result, content.data(), content.size());
    push(int64_t(result));
  }
  static std::string escaped(const std::string& text) {
    std::string result;
    for (const char c : text.substr(0, 100)) result += c < ' ' || c == 127 ? '?' : c;
    return result;
  }

  // False where the instruction is none of those here.
  bool step(char opcode) {
    switch (uint8_t(opcode)) {
      case 0x80:
        bytes(1);
        break;  // PROTO
      case 0x95:
        bytes(8);
        break;  // FRAME
      case '(':
        marks_.push_back(stack_.size());
        break;
      case '0':
        pop();
        break;  // POP
      case '1':
        pop_mark();
        break;  // POP_MARK
      case 'N':
        push(Value::None{});
        break;
      case 0x88:
        push(true);
        break;
      case 0x89:
        push(false);
        break;
      case 'K':
        push(int64_t(number<uint8_t>()));
        break;  // BININT1
      case 'M':
        push(int64_t(number<uint16_t>()));
        break;  // BININT2
      case 'J':
        push(int64_t(number<int32_t>()));
        break;  // BININT
      case 0x8a:
        long_integer(bytes(number<uint8_t>()));
        break;  // LONG1
      case 'G':
        push(std::bit_cast<double>(__builtin_bswap64(number<uint64_t>())));
        break;  // BINFLOAT
      case 'X':
        push(bytes(number<uint32_t>()));
        break;  // BINUNICODE
      case 0x8c:
        push(bytes(number<uint8_t>()));
        break;  // SHORT_BINUNICODE
      case 0x8d:
        push(bytes(number<uint64_t>()));
        break;  // BINUNICODE8
      case 'T':
        push(bytes(number<uint32_t>()));
        break;  // BINSTRING, of Python 2
      case 'U':
        push(bytes(number<uint8_t>()));
        break;  // SHORT_BINSTRING
      case 'B':
        push(Value::Bytes{bytes(number<uint32_t>())});
        break;  // BINBYTES
      case 'C':
        push(Value::Bytes{bytes(number<uint8_t>())});
        break;  // SHORT_BINBYTES
      case ')':
        push(Value::List{});
        break;
      case ']':
        push(Value::List{});
        break;
      case '}':
        push(Value::Dict{});
        break;
      case 't':
        push(pop_mark());
        break;  // TUPLE
      case 'l':
        push(pop_mark());
        break;  // LIST
      case 0x85:
        tuple(1);
        break;
      case 0x86:
        tuple(2);
        break;
      case 0x87:
        tuple(3);
        break;
      case 'a':
        append({pop()});
        break;  // APPEND
      case 'e':
        append(pop_mark());
        break;     // APPENDS
      case 's': {  // SETITEM
        const Value *value = pop(), *key = pop();
        set({key, value});
        break;
      }
      case 'u':
        set(pop_mark());
        break;  // SETITEMS
      case 'q':
        remember(number<uint8_t>());
        break;  // BINPUT
      case 'r':
        remember(number<uint32_t>());
        break;  // LONG_BINPUT
      case 'p':
        remember(decimal(line()));
        break;  // PUT
      case 0x94:
        remember(memo_.size());
        break;  // MEMOIZE
      case 'h':
        recall(number<uint8_t>());
        break;  // BINGET
      case 'j':
        recall(number<uint32_t>());
        break;  // LONG_BINGET
      case 'g':
        recall(decimal(line()));
        break;     // GET
      case 'c': {  // GLOBAL
        const std::string_view module = line();
        global(module, line());
        break;
      }
      case 0x93: {  // STACK_GLOBAL
        const Value *name = pop(), *module = pop();
        if (!name->as<std::string_view>() || !module->as<std::string_view>())
          damaged("a global without a name");
        global(*module->as<std::string_view>(), *name->as<std::string_view>());
        break;
      }
      case 'R':
        call();
        break;  // REDUCE
      case 0x81:
        call();
        break;  // NEWOBJ
      case 'b':
        build();
        break;  // BUILD
      case 'Q':
        push(Value::PersistentId{pop()});
        break;  // BINPERSID
      default:
        return false;
    }
    return true;
  }

  PickleReader& reader_;
  const std::vector<std::string_view>& allowed_;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, Value*> memo_;
};

const PickleValue& PickleReader::read(const std::vector<std::string_view>& allowed) {
  return Machine(*this, allowed).run();
}

}  // namespace fovea
