// JSON reader. simdjson's first stage (vectorised, chosen at run time) checks UTF-8 and control
// characters and finds where every token starts; Walk goes over these starts once, validates what
// is left (structure, numbers, atoms, escapes, depth) and writes one Node for each value and
// member name. A string is never looked at byte by byte: its end is found backwards from the next
// token, its escapes in blocks (escape_check.hpp).
//
// Invariants: no byte outside [bytes, bytes + size) is read; no native recursion; a parse without
// error means that every raw slice is a JSON value by itself.
#include "translators/json/reader.hpp"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "translators/json/escape_check.hpp"

namespace llm::json {

namespace {

constexpr uint32_t kAllNames = 0xffffff;
constexpr size_t kKeepBytes = 4u << 20;  // buffers below this are never given back

Error bad_json(std::string_view what, size_t offset) {
    return Error{Errc::invalid_json, what, {}, static_cast<uint32_t>(offset)};
}

bool is_space(char c) {
    return static_cast<unsigned char>(c) <= ' ' &&
           (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

// As memcmp() == 0, without a call for names: pieces that overlap.
bool same_bytes(const char *a, const char *b, size_t size) {
    auto same_word = [&](size_t at) {
        uint64_t left = 0, right = 0;
        memcpy(&left, a + at, 8);
        memcpy(&right, b + at, 8);
        return left == right;
    };
    if (size > 16) {
        return memcmp(a, b, size) == 0;
    }
    if (size >= 8) {
        return same_word(0) && same_word(size - 8);
    }
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

const char *skip_digits(const char *at, const char *end) {
    while (at != end && is_digit(*at)) {
        ++at;
    }
    return at;
}

bool is_number(const char *at, const char *end) {
    if (at != end && *at == '-') {
        ++at;
    }
    if (at == end || !is_digit(*at)) {
        return false;
    }
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at != end && *at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction, end);
        if (at == fraction) {
            return false;
        }
    }
    if (at != end && (*at == 'e' || *at == 'E')) {
        ++at;
        if (at != end && (*at == '+' || *at == '-')) {
            ++at;
        }
        const char *exponent = at;
        at = skip_digits(exponent, end);
        if (at == exponent) {
            return false;
        }
    }
    return at == end;
}

// One pass over the token starts that stage 1 found.
class Walk {
  public:
    Walk(std::string_view bytes, const uint32_t *starts, uint32_t count, Node *nodes,
         uint32_t capacity, const Limits &limits)
        : base_(bytes.data()),
          length_(static_cast<uint32_t>(bytes.size())),
          starts_(starts),
          last_(starts + count),
          nodes_(nodes),
          capacity_(capacity),
          limits_(limits),
          escapes_(bytes, limits.has_no_backslash, limits.allow_lone_surrogates) {}

    Status run();

  private:
    bool fail(std::string_view what, size_t offset) {
        error_ = bad_json(what, offset);
        return false;
    }

    // Where the bytes of a scalar that begins at `begin` end; `at` is already at the next token.
    uint32_t scalar_end(uint32_t begin, const uint32_t *at) const {
        uint32_t end = at == last_ ? length_ : *at;
        while (end > begin + 1 && is_space(base_[end - 1])) {
            --end;
        }
        return end;
    }

    // Neither an object nor an array; Kind::absent: the error stands.
    Kind read_scalar(uint32_t begin, uint32_t end) {
        std::string_view written(base_ + begin, end - begin);
        Kind kind = Kind::number;
        bool is_good = false;
        switch (written[0]) {
            case 't':
            case 'f':
                kind = Kind::boolean;
                is_good = written == "true" || written == "false";
                break;
            case 'n':
                kind = Kind::null;
                is_good = written == "null";
                break;
            default:
                is_good = is_number(written.data(), written.data() + written.size());
                break;
        }
        if (!is_good) {
            fail("not a JSON value", begin);
            return Kind::absent;
        }
        return kind;
    }

    bool is_string(uint32_t begin, uint32_t end) {
        if (end - begin < 2 || base_[end - 1] != '"') {
            return fail("unclosed string", begin);
        }
        return escapes_.is_plain_until(end) || escapes_.check(begin + 1, end - 1) ||
               fail(escapes_.wrong(), escapes_.wrong_at());
    }

    const char *base_;
    uint32_t length_;
    const uint32_t *starts_;
    const uint32_t *last_;
    Node *nodes_;
    uint32_t capacity_;
    Limits limits_;
    EscapeCheck escapes_;
    Error error_;
};

// What changes with every token is held in registers: members would be written each time. While a
// container is open, the `next` of its node leads back to the container around it, whose `count`
// and `names` wait in its own node.
Status Walk::run() {
    const char *base = base_;
    const uint32_t *at = starts_;
    const uint32_t *const last = last_;
    Node *node = nodes_;
    const Node *const limit = nodes_ + capacity_;
    Node *parent = nullptr;
    uint32_t count = 0;
    uint32_t names = 0;
    uint32_t depth = 0;
    bool in_object = false;

    for (;;) {
        if (at == last) {
            return bad_json("JSON ends too early", length_);
        }
        // One for a name, one for the value.
        if (limit - node < 2) {
            return bad_json("not a JSON document", *at);
        }
        if (in_object) {
            uint32_t begin = *at++;
            if (base[begin] != '"') {
                return bad_json("a member name was expected", begin);
            }
            uint32_t end = scalar_end(begin, at);
            bool is_plain = escapes_.is_plain_until(end);
            if (!is_string(begin, end)) {
                return error_;
            }
            // An escaped name may be any.
            names |= is_plain ? name_bit({base + begin + 1, end - begin - 2}) : kAllNames;
            *node++ = Node{begin, end, 1, 0, Kind::string, 0};
            if (last - at < 2) {
                return bad_json("JSON ends too early", length_);
            }
            if (base[*at] != ':') {
                return bad_json("a colon was expected", *at);
            }
            ++at;
        }
        ++count;
        uint32_t begin = *at++;
        char c = base[begin];
        if (c == '{' || c == '[') {
            if (depth == limits_.max_depth) {
                return bad_json("JSON is nested too deep", begin);
            }
            ++depth;
            in_object = c == '{';
            uint32_t back = 0;
            if (parent != nullptr) {
                parent->count = count;
                parent->names = names;
                back = static_cast<uint32_t>(node - parent);
            }
            *node = Node{begin, begin, back, 0, in_object ? Kind::object : Kind::array, 0};
            parent = node++;
            count = names = 0;
            if (at == last) {
                return bad_json("JSON ends too early", length_);
            }
            if (base[*at] != (in_object ? '}' : ']')) {
                continue;
            }
        } else {
            uint32_t end = scalar_end(begin, at);
            Kind kind = Kind::string;
            if (c != '"') {
                kind = read_scalar(begin, end);
            } else if (!is_string(begin, end)) {
                kind = Kind::absent;
            }
            if (kind == Kind::absent) {
                return error_;
            }
            *node++ = Node{begin, end, 1, 0, kind, 0};
        }
        // Behind a value: a comma, or closing brackets.
        for (;;) {
            if (parent == nullptr) {
                return at == last ? Status() : Status(bad_json("text behind the JSON", *at));
            }
            if (at == last) {
                return bad_json("JSON ends too early", length_);
            }
            uint32_t offset = *at++;
            if (base[offset] != (in_object ? '}' : ']')) {
                if (base[offset] != ',') {
                    return bad_json("a comma was expected", offset);
                }
                break;
            }
            uint32_t back = parent->next;
            parent->end = offset + 1;
            parent->next = static_cast<uint32_t>(node - parent);
            parent->count = count;
            parent->names = names;
            --depth;
            parent = back == 0 ? nullptr : parent - back;
            if (parent != nullptr) {
                count = parent->count;
                names = parent->names;
                in_object = parent->kind == Kind::object;
            }
        }
    }
}

Error stage1_error(simdjson::error_code code, size_t size) {
    switch (code) {
        case simdjson::EMPTY:
            return bad_json("empty document", 0);
        case simdjson::UTF8_ERROR:
            return bad_json("not UTF-8", 0);
        case simdjson::UNESCAPED_CHARS:
            return bad_json("control character in a string", 0);
        case simdjson::UNCLOSED_STRING:
            return bad_json("unclosed string", size);
        default:
            return Error{Errc::internal, "JSON reader failed", {}, 0};
    }
}

}  // namespace

struct Reader::Impl {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> scanner;
    std::unique_ptr<char[]> padded;
    size_t padded_capacity = 0;

    bool fit(size_t size) {
        size_t capacity = scanner == nullptr ? 0 : scanner->capacity();
        bool is_wasteful = capacity * sizeof(uint32_t) > kKeepBytes && size < capacity / 8;
        if (size <= capacity && !is_wasteful) {
            return true;
        }
        size_t wanted = std::min<size_t>(std::bit_ceil(std::max<size_t>(size, 256)), UINT32_MAX);
        wanted = size > kKeepBytes ? size + size / 8 : wanted;
        if (scanner == nullptr) {
            // The depth is stage 2's, which is not used.
            return simdjson::get_active_implementation()->create_dom_parser_implementation(
                       wanted, 1, scanner) == simdjson::SUCCESS;
        }
        return scanner->set_capacity(wanted) == simdjson::SUCCESS;
    }
};

Reader::Reader() : impl_(new Impl) {}
Reader::~Reader() = default;

Result<Value> Reader::parse(std::string_view bytes, const Limits &limits) {
    if (bytes.empty()) {
        return bad_json("empty document", 0);
    }
    if (bytes.size() >= UINT32_MAX - kPadding) {
        return Error{Errc::too_large, "JSON of 4 GiB", {}, 0};
    }
    if (!impl_->fit(bytes.size())) {
        return Error{Errc::internal, "no memory for the JSON reader", {}, 0};
    }
    simdjson::internal::dom_parser_implementation &scanner = *impl_->scanner;
    simdjson::error_code code = scanner.stage1(reinterpret_cast<const uint8_t *>(bytes.data()),
                                               bytes.size(), simdjson::stage1_mode::regular);
    if (code != simdjson::SUCCESS) {
        return stage1_error(code, bytes.size());
    }

    // A document of n nodes has at least 2n - 1 tokens; an unfinished one may lack one for each
    // open container.
    size_t tokens = scanner.n_structural_indexes;
    size_t capacity = tokens / 2 + std::min<size_t>(limits.max_depth, tokens) + 2;
    if (tokens / 2 > limits.max_nodes) {
        return Error{Errc::too_large, "JSON of too many values", {}, 0};
    }
    bool is_wasteful = nodes_.size() * sizeof(Node) > kKeepBytes && capacity < nodes_.size() / 8;
    if (capacity > nodes_.size() || is_wasteful) {
        nodes_ = std::vector<Node>();
        nodes_.resize(capacity + capacity / 4);
    }
    Walk walk(bytes, scanner.structural_indexes.get(), static_cast<uint32_t>(tokens), nodes_.data(),
              static_cast<uint32_t>(nodes_.size()), limits);
    LLM_TRY(walk.run());
    return Value(nodes_.data(), bytes.data());
}

Result<Value> Reader::parse_unpadded(std::string_view bytes, const Limits &limits) {
    size_t needed = bytes.size() + kPadding;
    Impl &impl = *impl_;
    bool is_wasteful = impl.padded_capacity > kKeepBytes && needed < impl.padded_capacity / 8;
    if (needed > impl.padded_capacity || is_wasteful) {
        impl.padded_capacity = needed + needed / 4;
        impl.padded.reset(new char[impl.padded_capacity]);
    }
    if (!bytes.empty()) {
        memcpy(impl.padded.get(), bytes.data(), bytes.size());
    }
    memset(impl.padded.get() + bytes.size(), ' ', kPadding);
    return parse({impl.padded.get(), bytes.size()}, limits);
}

RawJson Value::raw() const {
    if (node_ == nullptr) {
        return {};
    }
    return {{base_ + node_->begin, node_->end - node_->begin}};
}

JsonText Value::text() const {
    if (!is_string()) {
        return {};
    }
    return {{base_ + node_->begin + 1, node_->end - node_->begin - 2}};
}

bool Value::is_true() const {
    return is_bool() && base_[node_->begin] == 't';
}

std::optional<bool> Value::as_bool() const {
    if (!is_bool()) {
        return std::nullopt;
    }
    return base_[node_->begin] == 't';
}

std::optional<int64_t> Value::as_int() const {
    if (!is_number()) {
        return std::nullopt;
    }
    const char *end = base_ + node_->end;
    // Counts, as nearly all are.
    if (node_->end - node_->begin <= 9) {
        int64_t count = 0;
        const char *at = base_ + node_->begin;
        while (at != end && is_digit(*at)) {
            count = count * 10 + (*at++ - '0');
        }
        if (at == end) {
            return count;
        }
    }
    int64_t whole = 0;
    auto result = std::from_chars(base_ + node_->begin, end, whole);
    if (result.ec == std::errc() && result.ptr == end) {
        return whole;
    }
    // A fraction or an exponent, or too large: exact as long as a double is.
    std::optional<double> number = as_double();
    constexpr double kExact = 9007199254740992.0;
    if (!number || std::trunc(*number) != *number || std::fabs(*number) > kExact) {
        return std::nullopt;
    }
    return static_cast<int64_t>(*number);
}

std::optional<double> Value::as_double() const {
    if (!is_number()) {
        return std::nullopt;
    }
    double number = 0;
    auto result = std::from_chars(base_ + node_->begin, base_ + node_->end, number);
    if (result.ec != std::errc()) {
        return std::nullopt;
    }
    return number;
}

uint32_t Value::offset() const {
    return node_ == nullptr ? 0 : node_->begin;
}

Value Value::look_up(std::string_view key) const {
    Value found;
    // Most names differ in size: those are passed over without a look at their bytes, unless they
    // may be the name in another spelling, which has all bits of `names` set.
    bool has_spellings = node_->names == kAllNames;
    const Node *end = node_ + node_->next;
    for (const Node *at = node_ + 1; at != end;) {
        const Node *value = at + 1;
        size_t size = at->end - at->begin - 2;
        const char *name = base_ + at->begin + 1;
        if (size == key.size() && same_bytes(name, key.data(), size)) {
            found = Value(value, base_);
        } else if (has_spellings && size > key.size() && json::equals({{name, size}}, key)) {
            found = Value(value, base_);
        }
        at = value + value->next;
    }
    return found;
}

Items Value::items() const {
    Items items;
    items.of_ = is_array() ? *this : Value();
    return items;
}

Members Value::members() const {
    Members members;
    members.of_ = is_object() ? *this : Value();
    return members;
}

Items::Iterator Items::begin() const {
    Iterator it;
    it.at_ = of_.node_ == nullptr ? nullptr : of_.node_ + 1;
    it.base_ = of_.base_;
    return it;
}

Items::Iterator Items::end() const {
    Iterator it = begin();
    it.at_ = of_.node_ == nullptr ? nullptr : of_.node_ + of_.node_->next;
    return it;
}

Members::Iterator Members::begin() const {
    Iterator it;
    it.at_ = of_.node_ == nullptr ? nullptr : of_.node_ + 1;
    it.base_ = of_.base_;
    return it;
}

Members::Iterator Members::end() const {
    Iterator it = begin();
    it.at_ = of_.node_ == nullptr ? nullptr : of_.node_ + of_.node_->next;
    return it;
}

Member Members::Iterator::operator*() const {
    JsonText key{{base_ + at_->begin + 1, at_->end - at_->begin - 2}};
    return Member{key, Value(at_ + 1, base_)};
}

Members::Iterator &Members::Iterator::operator++() {
    at_ += 1 + at_[1].next;
    return *this;
}

// The objects of usual requests: few members, no name with an escape in it.
bool Value::has_few_names() const {
    constexpr uint32_t kFew = 16;
    if (!is_object() || node_->count > kFew || node_->names == kAllNames) {
        return false;
    }
    std::string_view names[kFew];
    size_t count = 0;
    for (Member member : members()) {
        std::string_view name = member.key.bytes;
        for (size_t i = 0; i < count; ++i) {
            if (names[i].size() == name.size() && names[i] == name) {
                return false;
            }
        }
        names[count++] = name;
    }
    return true;
}

std::string_view duplicate_key(Value object) {
    if (object.has_few_names()) {
        return {};
    }
    // Sorted, not compared pair by pair: a hostile object may have a million members.
    struct Name {
        std::string_view plain;
        std::string_view written;
    };
    Arena arena;
    std::vector<Name> names;
    names.reserve(object.is_object() ? object.size() : 0);
    for (Member member : object.members()) {
        names.push_back({unescape(member.key, arena), member.key.bytes});
    }
    std::sort(names.begin(), names.end(),
              [](const Name &a, const Name &b) { return a.plain < b.plain; });
    for (size_t i = 1; i < names.size(); ++i) {
        if (names[i].plain == names[i - 1].plain) {
            // An empty name is shown with its quotes: an empty view means that there is none.
            std::string_view written = names[i].written;
            return written.empty() ? std::string_view("\"\"") : written;
        }
    }
    return {};
}

}  // namespace llm::json
