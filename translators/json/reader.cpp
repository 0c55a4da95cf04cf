// JSON reader. simdjson's first stage (vectorised, chosen at run time) checks UTF-8 and control
// characters and finds where every token starts; Walk goes over these starts once, validates what
// is left (structure, numbers, atoms, escapes, depth) and writes one Node for each value and
// member name. A string is never looked at byte by byte: its end is found backwards from the next
// token, its escapes with memchr.
//
// Invariants: no byte outside [bytes, bytes + size) is read; no native recursion; a parse without
// error means that every raw slice is a JSON value by itself.
#include "translators/json/reader.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

namespace llm::json {

namespace {

uint16_t name_bit(std::string_view name) {
    size_t first = name.empty() ? 0 : static_cast<unsigned char>(name[0]);
    return uint16_t(1u << ((first * 3 + name.size()) & 15));
}

constexpr uint16_t kAllNames = 0xffff;
constexpr uint32_t kNone = UINT32_MAX;
constexpr size_t kKeepBytes = 4u << 20;  // buffers below this are never given back

Error bad_json(std::string_view what, size_t offset) {
    return Error{Errc::invalid_json, what, {}, static_cast<uint32_t>(offset)};
}

bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// -1 when `c` is no hexadecimal digit.
int hex_digit(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
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
          at_(starts),
          last_(starts + count),
          nodes_(nodes),
          capacity_(capacity),
          limits_(limits) {
        next_backslash_ = find_backslash(0);
    }

    Status run() {
        while (read_value()) {
            bool expects_value = false;
            while (!expects_value) {
                if (parent_ == kNone) {
                    return at_ == last_ ? Status() : Status(bad_json("text behind the JSON", *at_));
                }
                if (!read_separator(expects_value)) {
                    return error_;
                }
            }
        }
        return error_;
    }

  private:
    bool fail(std::string_view what, size_t offset) {
        error_ = bad_json(what, offset);
        return false;
    }

    // Where the bytes of a scalar that begins at `begin` end; at_ is already at the next token.
    uint32_t scalar_end(uint32_t begin) const {
        uint32_t end = at_ == last_ ? length_ : *at_;
        while (end > begin + 1 && is_space(base_[end - 1])) {
            --end;
        }
        return end;
    }

    Node *add(Kind kind, uint32_t begin, uint32_t end) {
        if (count_ == capacity_) {
            fail("not a JSON document", begin);
            return nullptr;
        }
        Node *node = nodes_ + count_++;
        *node = Node{begin, end, count_, 0, kind};
        return node;
    }

    bool read_value() {
        if (in_object_ && !read_name()) {
            return false;
        }
        if (at_ == last_) {
            return fail("JSON ends too early", length_);
        }
        if (parent_ != kNone) {
            ++nodes_[parent_].count;
        }
        uint32_t begin = *at_++;
        switch (base_[begin]) {
            case '"':
                return read_string(begin);
            case '{':
                return open(Kind::object, begin);
            case '[':
                return open(Kind::array, begin);
            case 't':
                return read_atom("true", Kind::boolean, begin);
            case 'f':
                return read_atom("false", Kind::boolean, begin);
            case 'n':
                return read_atom("null", Kind::null, begin);
            default:
                break;
        }
        uint32_t end = scalar_end(begin);
        if (!is_number(base_ + begin, base_ + end)) {
            return fail("not a JSON value", begin);
        }
        return add(Kind::number, begin, end) != nullptr;
    }

    bool read_atom(std::string_view atom, Kind kind, uint32_t begin) {
        uint32_t end = scalar_end(begin);
        if (std::string_view(base_ + begin, end - begin) != atom) {
            return fail("not a JSON value", begin);
        }
        return add(kind, begin, end) != nullptr;
    }

    bool read_name() {
        if (at_ == last_) {
            return fail("JSON ends too early", length_);
        }
        uint32_t begin = *at_++;
        if (base_[begin] != '"') {
            return fail("a member name was expected", begin);
        }
        uint32_t backslash = next_backslash_;
        if (!read_string(begin)) {
            return false;
        }
        const Node &name = nodes_[count_ - 1];
        // An escaped name may be any.
        nodes_[parent_].names |=
            backslash < name.end ? kAllNames : name_bit({base_ + begin + 1, name.end - begin - 2});
        if (at_ == last_) {
            return fail("JSON ends too early", length_);
        }
        if (base_[*at_] != ':') {
            return fail("a colon was expected", *at_);
        }
        ++at_;
        return true;
    }

    bool read_string(uint32_t begin) {
        uint32_t end = scalar_end(begin);
        if (end - begin < 2 || base_[end - 1] != '"') {
            return fail("unclosed string", begin);
        }
        if (next_backslash_ < end && !check_escapes(begin + 1, end - 1)) {
            return false;
        }
        return add(Kind::string, begin, end) != nullptr;
    }

    // While a container is open its `next` is its parent.
    bool open(Kind kind, uint32_t begin) {
        if (depth_ == limits_.max_depth) {
            return fail("JSON is nested too deep", begin);
        }
        Node *node = add(kind, begin, begin);
        if (node == nullptr) {
            return false;
        }
        node->next = parent_;
        parent_ = static_cast<uint32_t>(node - nodes_);
        in_object_ = kind == Kind::object;
        is_fresh_ = true;
        ++depth_;
        return true;
    }

    // What may follow a value, or the bracket that opens a container: a comma, the closing
    // bracket, or (behind an opening bracket) the first value.
    bool read_separator(bool &expects_value) {
        if (at_ == last_) {
            return fail("JSON ends too early", length_);
        }
        char c = base_[*at_];
        bool is_fresh = is_fresh_;
        is_fresh_ = false;
        if (c == (in_object_ ? '}' : ']')) {
            close(*at_++);
            return true;
        }
        expects_value = true;
        if (is_fresh) {
            return true;
        }
        if (c != ',') {
            return fail("a comma was expected", *at_);
        }
        ++at_;
        return true;
    }

    void close(uint32_t offset) {
        Node &node = nodes_[parent_];
        node.end = offset + 1;
        parent_ = node.next;
        node.next = count_;
        in_object_ = parent_ != kNone && nodes_[parent_].kind == Kind::object;
        --depth_;
    }

    uint32_t find_backslash(uint32_t from) const {
        if (limits_.has_no_backslash) {
            return kNone;
        }
#if defined(__SSE2__)
        // Prose has an escape every line or so: near ones are found without a call.
        const __m128i wanted = _mm_set1_epi8('\\');
        for (int step = 0; step < 8 && from + 16 <= length_; ++step, from += 16) {
            __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(base_ + from));
            int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted));
            if (mask != 0) {
                return from + static_cast<uint32_t>(__builtin_ctz(static_cast<unsigned>(mask)));
            }
        }
#endif
        const void *found = from < length_ ? memchr(base_ + from, '\\', length_ - from) : nullptr;
        return found == nullptr ? kNone
                                : static_cast<uint32_t>(static_cast<const char *>(found) - base_);
    }

    // -1 when no \uXXXX stands at `at`.
    int32_t code_unit(uint32_t at, uint32_t end) const {
        if (end - at < 6 || base_[at] != '\\' || base_[at + 1] != 'u') {
            return -1;
        }
        int32_t unit = 0;
        for (uint32_t i = at + 2; i < at + 6; ++i) {
            int digit = hex_digit(base_[i]);
            if (digit < 0) {
                return -1;
            }
            unit = unit * 16 + digit;
        }
        return unit;
    }

    // The backslashes are visited once over the whole document: next_backslash_ never goes back.
    bool check_escapes(uint32_t begin, uint32_t end) {
        if (next_backslash_ < begin) {
            next_backslash_ = find_backslash(begin);
        }
        while (next_backslash_ < end) {
            uint32_t at = next_backslash_;
            if (base_[at + 1] == 'u') {
                int32_t unit = code_unit(at, end);
                if (unit < 0) {
                    return fail("bad \\u escape", at);
                }
                at += 6;
                if (unit >= 0xd800 && unit <= 0xdfff && !limits_.allow_lone_surrogates) {
                    int32_t low = unit < 0xdc00 ? code_unit(at, end) : -1;
                    if (low < 0xdc00 || low > 0xdfff) {
                        return fail("unpaired surrogate", at - 6);
                    }
                    at += 6;
                }
            } else if (memchr("\"\\/bfnrt", base_[at + 1], 8) != nullptr) {
                at += 2;
            } else {
                return fail("bad escape", at);
            }
            next_backslash_ = at < end && base_[at] == '\\' ? at : find_backslash(at);
        }
        return true;
    }

    const char *base_;
    uint32_t length_;
    const uint32_t *at_;
    const uint32_t *last_;
    Node *nodes_;
    uint32_t capacity_;
    uint32_t count_ = 0;
    uint32_t parent_ = kNone;
    uint32_t depth_ = 0;
    uint32_t next_backslash_ = kNone;
    bool in_object_ = false;
    bool is_fresh_ = false;  // the container was opened just now
    Limits limits_;
    Error error_;
};

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
    return Value(nodes_.data(), nodes_.data(), bytes.data());
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

uint32_t Value::size() const {
    return node_ == nullptr ? 0 : node_->count;
}

uint32_t Value::offset() const {
    return node_ == nullptr ? 0 : node_->begin;
}

Value Value::find(std::string_view key) const {
    Value found;
    if (!is_object() || (node_->names & name_bit(key)) == 0) {
        return found;
    }
    // Most names differ in size: those are passed over without a look at their bytes, unless they
    // may be the name in another spelling, which has all bits of `names` set.
    bool has_spellings = node_->names == kAllNames;
    const Node *end = nodes_ + node_->next;
    for (const Node *at = node_ + 1; at != end;) {
        const Node *value = nodes_ + at->next;
        size_t size = at->end - at->begin - 2;
        const char *name = base_ + at->begin + 1;
        if (size == key.size() && memcmp(name, key.data(), size) == 0) {
            found = Value(value, nodes_, base_);
        } else if (has_spellings && size > key.size() && json::equals({{name, size}}, key)) {
            found = Value(value, nodes_, base_);
        }
        at = nodes_ + value->next;
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
    it.nodes_ = of_.nodes_;
    it.base_ = of_.base_;
    return it;
}

Items::Iterator Items::end() const {
    Iterator it = begin();
    it.at_ = of_.node_ == nullptr ? nullptr : of_.nodes_ + of_.node_->next;
    return it;
}

Members::Iterator Members::begin() const {
    Iterator it;
    it.at_ = of_.node_ == nullptr ? nullptr : of_.node_ + 1;
    it.nodes_ = of_.nodes_;
    it.base_ = of_.base_;
    return it;
}

Members::Iterator Members::end() const {
    Iterator it = begin();
    it.at_ = of_.node_ == nullptr ? nullptr : of_.nodes_ + of_.node_->next;
    return it;
}

Member Members::Iterator::operator*() const {
    JsonText key{{base_ + at_->begin + 1, at_->end - at_->begin - 2}};
    return Member{key, Value(at_ + 1, nodes_, base_)};
}

Members::Iterator &Members::Iterator::operator++() {
    at_ = nodes_ + at_[1].next;
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
