// Gemini's candidates -> ir events. Each candidate has at most one open block; calls come whole in
// one part and are closed at once (or are put together by PartialArguments). Where signatures go:
//   of a call    a block of reasoning before it, or the thoughts that are open before it
//   of a text    a block of reasoning without text behind it
//   of nothing   (an empty text part) whichever was open, else kept for the next call or the end
// Citations come with or before the end of the text and are told when its block is closed.
// Kept between objects: the ids, one signature and the latest metadata of each candidate.
#include "translators/dialect/gemini_answer.hpp"
#include "translators/dialect/usage_count.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <ctime>
#include <functional>

namespace llm::gemini {

namespace {

using ir::BlockKind;
using ir::EventKind;
using json::Value;

constexpr int64_t kMaxCandidates = 128;
constexpr uint32_t kMaxCalls = 4096;
constexpr int64_t kMaxMapped = 4 << 20;
constexpr size_t kMaxCitations = 1000;

// Seconds of an RFC 3339 time (the API gives UTC); 0 when it is none.
int64_t seconds_of(JsonText time) {
    std::string_view text = time.bytes;
    if (text.size() < 19 || text[4] != '-' || text[7] != '-' || text[10] != 'T') {
        return 0;
    }
    auto digits = [&](size_t at, size_t count) {
        int value = 0;
        for (char c : text.substr(at, count)) {
            value = value * 10 + (c >= '0' && c <= '9' ? c - '0' : 0);
        }
        return value;
    };
    std::tm parts = {};
    parts.tm_year = digits(0, 4) - 1900;
    parts.tm_mon = digits(5, 2) - 1;
    parts.tm_mday = digits(8, 2);
    parts.tm_hour = digits(11, 2);
    parts.tm_min = digits(14, 2);
    parts.tm_sec = digits(17, 2);
    int64_t seconds = timegm(&parts);
    return seconds > 0 ? seconds : 0;
}

bool is_image(JsonText mime) {
    return mime.bytes.starts_with("image/");
}

uint32_t hex_of(std::string_view digits) {
    uint32_t code = 0;
    for (char c : digits) {
        uint32_t digit = c <= '9' ? uint32_t(c - '0') : uint32_t((c | 0x20) - 'a') + 10;
        code = code << 4 | (digit & 15);
    }
    return code;
}

// JSON without the line ends and indents that whole answers have between values: it goes into
// frames of one line, and arguments of a call come back with every request. Values stay as they
// are.
std::string_view one_line(std::string_view raw, Arena &arena) {
    if (raw.find_first_of("\r\n") == std::string_view::npos) {
        return raw;
    }
    char *start = arena.allocate(raw.size());
    char *out = start;
    bool is_string = false;
    for (size_t i = 0; i < raw.size(); ++i) {
        char c = raw[i];
        if (!is_string && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
            continue;
        }
        *out++ = c;
        if (c == '\\' && is_string) {
            *out++ = raw[++i];  // the reader has seen that one follows
        } else if (c == '"') {
            is_string = !is_string;
        }
    }
    size_t size = static_cast<size_t>(out - start);
    arena.shrink_last(start, size);
    return {start, size};
}

// Views into the arena, with room behind for the reader.
std::string_view padded_copy(std::string_view text, Arena &arena) {
    char *start = arena.allocate(text.size() + json::kPadding);
    memcpy(start, text.data(), text.size());
    memset(start + text.size(), 0, json::kPadding);
    return {start, text.size()};
}

}  // namespace

// --- TextMap --------------------------------------------------------------------------------

void TextMap::clear() {
    inner_.clear();
    size_ = 0;
}

void TextMap::add_code(uint32_t code) {
    // A low surrogate belongs to the character that the high one before it began.
    bool is_low = code >= 0xdc00 && code < 0xe000;
    bool is_high = code >= 0xd800 && code < 0xdc00;
    int size = is_low ? 0 : is_high ? 4 : code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
    int64_t begin = size_;
    size_ += size;
    if (size > 1 && size_ <= kMaxMapped) {
        inner_.resize(static_cast<size_t>(size_ / 64 + 1));
        for (int64_t i = begin + 1; i < size_; ++i) {
            inner_[static_cast<size_t>(i / 64)] |= uint64_t{1} << (i % 64);
        }
    }
}

void TextMap::add(JsonText fragment) {
    std::string_view bytes = fragment.bytes;
    for (size_t i = 0; i < bytes.size();) {
        unsigned char c = static_cast<unsigned char>(bytes[i]);
        if (c == '\\' && i + 1 < bytes.size()) {
            bool is_code = bytes[i + 1] == 'u' && i + 6 <= bytes.size();
            add_code(is_code ? hex_of(bytes.substr(i + 2, 4)) : ' ');
            i += is_code ? 6 : 2;
        } else if (c < 0x80) {
            ++size_;
            ++i;
        } else {
            size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            add_code(size == 4 ? 0xd800 : size == 3 ? 0x800 : 0x80);
            i += size;
        }
    }
}

int64_t TextMap::code_points_at(int64_t byte) const {
    if (byte < 0 || byte > size_ || (byte > kMaxMapped && !inner_.empty())) {
        return -1;
    }
    int64_t inner = 0;
    for (size_t i = 0; i < inner_.size() && static_cast<int64_t>(i) * 64 < byte; ++i) {
        int64_t left = byte - static_cast<int64_t>(i) * 64;
        uint64_t mask = left >= 64 ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
        inner += std::popcount(inner_[i] & mask);
    }
    return byte - inner;
}

// --- objects --------------------------------------------------------------------------------

bool AnswerReader::fail(std::string_view what) {
    failure_ = what;
    return false;
}

size_t AnswerReader::memory() const {
    size_t sum = id_.capacity() + scratch_.size();
    for (const Candidate &candidate : candidates_) {
        sum += sizeof candidate + candidate.pending.capacity() + candidate.native.capacity() +
               candidate.grounding.capacity() + candidate.recitation.capacity() +
               candidate.map.memory();
        sum += candidate.partial != nullptr ? candidate.partial->memory() : 0;
    }
    return sum;
}

void AnswerReader::start(Value object) {
    Value candidates = object.find("candidates");
    JsonText id = object.find("responseId").text();
    JsonText model = object.find("modelVersion").text();
    bool says_nothing = candidates.size() == 0 && id.empty() && model.empty() &&
                        object.find("promptFeedback").is_unset();
    if (is_started_ || says_nothing) {
        return;
    }
    is_started_ = true;
    id_ = id.bytes;
    Usage usage = usage_.to_usage();
    ir::StreamEvent start;
    start.kind = EventKind::start;
    start.id = id;
    start.name = model;
    start.created = seconds_of(object.find("createTime").text());
    start.usage = says_something(usage) ? &usage : nullptr;
    sink_->on_event(start);
}

bool AnswerReader::read(Value object, ir::EventSink &sink) {
    sink_ = &sink;
    usage_.merge(object.find("usageMetadata"));
    start(object);
    Value candidates = object.find("candidates");
    for (Value candidate : candidates.items()) {
        if (candidate.is_object() && !on_candidate(candidate)) {
            return false;
        }
    }
    JsonText reason = object["promptFeedback"]["blockReason"].text();
    if (candidates.size() == 0 && !reason.empty() &&
        !json::equals(reason, "BLOCK_REASON_UNSPECIFIED")) {
        Candidate *to = candidate_of({});
        to->is_finished = true;
        to->is_blocked = true;
        to->native = reason.bytes;
    }
    return true;
}

AnswerReader::Candidate *AnswerReader::candidate_of(Value candidate) {
    int64_t index = candidate.find("index").as_int().value_or(0);
    for (Candidate &known : candidates_) {
        if (known.index == index) {
            return &known;
        }
    }
    if (index < 0 || index >= kMaxCandidates) {
        return nullptr;
    }
    candidates_.emplace_back();
    candidates_.back().index = static_cast<uint32_t>(index);
    return &candidates_.back();
}

bool AnswerReader::on_candidate(Value candidate) {
    Candidate *to = candidate_of(candidate);
    if (to == nullptr) {
        return fail("the provider's answer has too many candidates");
    }
    // Citations are for the last text, which a call or a server's part behind it closes.
    Value parts = candidate["content"]["parts"];
    size_t texts_end = 0, at = 0;
    for (Value part : parts.items()) {
        ++at;
        bool is_text = !part["text"].text().empty() && !part["thought"].is_true();
        texts_end = is_text ? at : texts_end;
    }
    at = 0;
    for (Value part : parts.items()) {
        if (at++ == texts_end) {
            keep_citations(*to, candidate);
        }
        if (part.is_object() && !on_part(*to, part)) {
            return false;
        }
    }
    if (at == texts_end) {
        keep_citations(*to, candidate);
    }
    flush_behind(*to);
    if (Value result = candidate.find("logprobsResult"); result.is_object()) {
        logprobs(*to, result);
    }
    JsonText reason = candidate.find("finishReason").text();
    if (!reason.empty()) {
        end_partial(*to);
        to->native = reason.bytes;
        to->is_finished = true;
    }
    return true;
}

bool AnswerReader::is_finished() const {
    bool is_whole = !candidates_.empty();
    for (const Candidate &candidate : candidates_) {
        is_whole = is_whole && candidate.is_finished;
    }
    return is_whole;
}

void AnswerReader::report_usage(ir::EventSink &sink) {
    Usage usage = usage_.to_usage();
    if (says_something(usage) && is_started_) {
        ir::StreamEvent event;
        event.kind = EventKind::usage;
        event.usage = &usage;
        sink.on_event(event);
    }
}

void AnswerReader::complete(ir::EventSink &sink) {
    sink_ = &sink;
    for (Candidate &candidate : candidates_) {
        end_partial(candidate);
        close(candidate);
        if (!candidate.pending.empty()) {
            std::string signature;
            signature.swap(candidate.pending);
            sign(candidate, {signature});
        }
    }
    report_usage(sink);
    for (const Candidate &candidate : candidates_) {
        ir::StreamEvent finish = event(candidate, EventKind::finish);
        finish.native = {candidate.native};
        finish.finish = candidate.is_blocked ? ir::Finish::content_filter
                                             : finish_of(finish.native, candidate.has_calls);
        sink.on_event(finish);
    }
}

// --- parts ----------------------------------------------------------------------------------

bool AnswerReader::on_part(Candidate &to, Value part) {
    JsonText signature = part.find("thoughtSignature").text();
    Value call = part.find("functionCall");
    if (call.is_object()) {
        return on_call(to, call, signature);
    }
    end_partial(to);
    Value text = part.find("text");
    Value inline_data = part.find("inlineData");
    if (text.is_string() || (part.size() == 1 && !signature.empty())) {
        on_text(to, part, text.text(), signature);
    } else if (inline_data.is_object() && is_image(inline_data.find("mimeType").text())) {
        flush_behind(to);
        close(to);
        ir::StreamEvent open = event(to, EventKind::open);
        open.block = next_block_++;
        open.block_kind = BlockKind::image;
        open.name = inline_data.find("mimeType").text();
        open.text = inline_data.find("data").text();
        sink_->on_event(open);
        ir::StreamEvent end = event(to, EventKind::close);
        end.block = open.block;
        end.block_kind = open.block_kind;
        sink_->on_event(end);
        if (!signature.empty()) {
            sign(to, signature);
        }
    } else {
        on_opaque(to, part);
    }
    return true;
}

void AnswerReader::on_text(Candidate &to, Value part, JsonText text, JsonText signature) {
    BlockKind kind = part.find("thought").is_true() ? BlockKind::reasoning : BlockKind::text;
    if (!text.empty()) {
        flush_behind(to);
        ensure(to, kind);
        ir::StreamEvent delta = event(to, EventKind::delta);
        delta.text = text;
        sink_->on_event(delta);
        if (kind == BlockKind::text) {
            to.map.add(text);
        }
    }
    if (signature.empty()) {
        return;
    }
    if (to.block == kNoBlock) {
        to.pending = signature.bytes;
    } else if (to.kind == BlockKind::text) {
        flush_behind(to);
        if (to.block != kNoBlock) {
            to.behind = signature;
        } else {
            to.pending = signature.bytes;
        }
    } else {
        sign(to, signature);
    }
}

bool AnswerReader::on_call(Candidate &to, Value call, JsonText signature) {
    Value pieces = call.find("partialArgs");
    bool goes_on = call.find("willContinue").is_true();
    JsonText name = call.find("name").text();
    if (!name.empty()) {
        end_partial(to);
        if (++calls_ > kMaxCalls) {
            return fail("the provider's answer has too many calls");
        }
        open_call(to, call, signature);
        Value arguments = call.find("args");
        if (!goes_on && pieces.size() == 0) {
            std::string_view raw =
                arguments.is_object() ? one_line(arguments.raw().bytes, arena_) : "{}";
            ir::StreamEvent delta = event(to, EventKind::delta);
            delta.text = json::escape(raw, arena_);
            sink_->on_event(delta);
            close(to);
            return true;
        }
        if (to.partial == nullptr) {
            to.partial = std::make_unique<PartialArguments>();
        }
        to.partial->clear();
        to.in_partial = true;
    } else if (!to.in_partial) {
        return true;  // a call without a name calls nothing
    }
    for (Value piece : pieces.items()) {
        if (!to.partial->apply(piece, arena_)) {
            return fail("the arguments of a call cannot be put together");
        }
    }
    if (!goes_on) {
        end_partial(to);
    }
    return true;
}

// Results are paired by id: a second call of the same one would lose its own.
bool AnswerReader::is_new_id(JsonText id) {
    size_t hash = std::hash<std::string_view>()(id.bytes);
    bool is_new = std::find(ids_.begin(), ids_.end(), hash) == ids_.end();
    if (is_new && ids_.size() < kMaxCalls) {
        ids_.push_back(hash);
    }
    return is_new;
}

void AnswerReader::open_call(Candidate &to, Value call, JsonText signature) {
    flush_behind(to);
    std::string kept;
    if (signature.empty()) {
        kept.swap(to.pending);
        signature = {kept};
    }
    if (!signature.empty()) {
        sign(to, signature);
    }
    close(to);
    to.has_calls = true;
    JsonText id = call.find("id").text();
    if (id.empty()) {
        // Without the answer's id, what is called makes the difference between two answers.
        JsonText seed = {id_.empty() ? call.raw().bytes : std::string_view(id_)};
        id = invent_call_id(seed, calls_ - 1, arena_);
    } else if (!is_new_id(id)) {
        id = invent_call_id(id, calls_, arena_);
    }
    to.block = next_block_++;
    to.kind = BlockKind::tool;
    ir::StreamEvent open = event(to, EventKind::open);
    open.id = id;
    open.name = call.find("name").text();
    sink_->on_event(open);
}

void AnswerReader::end_partial(Candidate &to) {
    if (!to.in_partial) {
        return;
    }
    to.in_partial = false;
    scratch_.clear();
    to.partial->write(scratch_);
    ir::StreamEvent delta = event(to, EventKind::delta);
    delta.text = json::escape(scratch_.view(), arena_);
    sink_->on_event(delta);
    close(to);
}

// What only this dialect has: code that it ran, what came out, files. The whole part is kept, its
// signature with it.
void AnswerReader::on_opaque(Candidate &to, Value part) {
    JsonText type;
    for (auto [key, value] : part.members()) {
        if (value.is_object() && !json::equals(key, "videoMetadata") &&
            !json::equals(key, "mediaResolution")) {
            type = key;
            break;
        }
    }
    if (type.empty()) {
        return;
    }
    flush_behind(to);
    close(to);
    to.block = next_block_++;
    to.kind = BlockKind::opaque;
    ir::StreamEvent open = event(to, EventKind::open);
    open.name = type;
    open.raw = {one_line(part.raw().bytes, arena_)};
    open.origin = DialectId::gemini;
    sink_->on_event(open);
    close(to);
}

// --- blocks ---------------------------------------------------------------------------------

ir::StreamEvent AnswerReader::event(const Candidate &to, EventKind kind) const {
    ir::StreamEvent event;
    event.kind = kind;
    event.choice = to.index;
    event.block = to.block;
    event.block_kind = to.kind;
    event.origin = DialectId::gemini;
    return event;
}

void AnswerReader::ensure(Candidate &to, BlockKind kind) {
    if (to.block != kNoBlock && to.kind == kind) {
        return;
    }
    close(to);
    to.block = next_block_++;
    to.kind = kind;
    to.map.clear();
    sink_->on_event(event(to, EventKind::open));
}

void AnswerReader::close(Candidate &to) {
    if (to.block == kNoBlock) {
        return;
    }
    if (to.kind == BlockKind::text) {
        cite(to);
    }
    sink_->on_event(event(to, EventKind::close));
    to.block = kNoBlock;
}

// A signature for the thoughts that are open, else in a block of its own. Closes it.
void AnswerReader::sign(Candidate &to, JsonText signature) {
    ensure(to, BlockKind::reasoning);
    ir::StreamEvent signed_event = event(to, EventKind::signature);
    signed_event.text = signature;
    sink_->on_event(signed_event);
    close(to);
}

void AnswerReader::flush_behind(Candidate &to) {
    if (!to.behind.empty()) {
        JsonText signature = to.behind;
        to.behind = {};
        sign(to, signature);
    }
}

// --- citations, probabilities ---------------------------------------------------------------

void AnswerReader::keep_citations(Candidate &to, Value candidate) {
    if (Value grounding = candidate.find("groundingMetadata"); grounding.size() > 0) {
        to.grounding = one_line(grounding.raw().bytes, arena_);
    }
    if (Value recitation = candidate.find("citationMetadata"); recitation.size() > 0) {
        to.recitation = recitation.raw().bytes;
    }
}

void AnswerReader::cite(Candidate &to) {
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    if (!to.grounding.empty()) {
        std::string_view text = padded_copy(to.grounding, arena_);
        to.grounding.clear();
        if (Result<Value> metadata = reader_.parse(text, limits)) {
            cite_grounding(to, *metadata);
        }
    }
    if (!to.recitation.empty()) {
        std::string_view text = padded_copy(to.recitation, arena_);
        to.recitation.clear();
        Result<Value> metadata = reader_.parse(text, limits);
        Value sources = metadata ? metadata->find("citations") : Value();
        if (metadata && sources.absent()) {
            sources = metadata->find("citationSources");
        }
        size_t count = 0;
        for (Value source : sources.items()) {
            ir::Citation citation;
            citation.url = source.find("uri").text();
            citation.title = source.find("title").text();
            if (citation.url.empty() || ++count > kMaxCitations) {
                continue;
            }
            int64_t begin = source.find("startIndex").as_int().value_or(0);
            int64_t end = source.find("endIndex").as_int().value_or(-1);
            citation.start = to.map.code_points_at(begin);
            citation.end = to.map.code_points_at(end);
            ir::StreamEvent cited = event(to, EventKind::cite);
            cited.citation = &citation;
            sink_->on_event(cited);
        }
    }
}

void AnswerReader::cite_grounding(const Candidate &to, Value metadata) {
    std::vector<Value> chunks;
    for (Value chunk : metadata.find("groundingChunks").items()) {
        chunks.push_back(chunk);
    }
    RawJson raw = metadata.raw();
    size_t count = 0;
    auto send = [&](const ir::Citation *citation) {
        ir::StreamEvent cited = event(to, EventKind::cite);
        cited.raw = raw;
        cited.citation = citation;
        sink_->on_event(cited);
        raw = {};
        ++count;
    };
    auto citation_of = [&](Value chunk) {
        Value source = chunk.find("web");
        for (std::string_view other : {"retrievedContext", "maps"}) {
            source = source.is_object() ? source : chunk.find(other);
        }
        ir::Citation citation;
        citation.url = source.find("uri").text();
        citation.title = source.find("title").text();
        return citation;
    };
    for (Value support : metadata.find("groundingSupports").items()) {
        Value segment = support.find("segment");
        for (Value index : support.find("groundingChunkIndices").items()) {
            int64_t at = index.as_int().value_or(-1);
            if (at < 0 || at >= static_cast<int64_t>(chunks.size()) || count >= kMaxCitations) {
                continue;
            }
            ir::Citation citation = citation_of(chunks[static_cast<size_t>(at)]);
            citation.quote = segment.find("text").text();
            int64_t begin = segment.find("startIndex").as_int().value_or(0);
            int64_t end = segment.find("endIndex").as_int().value_or(-1);
            citation.start = to.map.code_points_at(begin);
            citation.end = to.map.code_points_at(end);
            send(&citation);
        }
    }
    if (count > 0) {
        return;
    }
    for (Value chunk : chunks) {
        ir::Citation citation = citation_of(chunk);
        if (!citation.url.empty() && count < kMaxCitations) {
            send(&citation);
        }
    }
    if (count == 0) {
        send(nullptr);
    }
}

// In the form of chat, which is that of the IR.
void AnswerReader::logprobs(const Candidate &to, Value result) {
    scratch_.clear();
    json::Writer writer(scratch_);
    auto entry = [&](Value token) {
        Value probability = token.find("logProbability");
        writer.object().key("token").text(token.find("token").text()).key("logprob");
        writer.raw(probability.is_number() ? probability.raw() : RawJson{"0"});
        writer.key("bytes").null();
    };
    Value top = result.find("topCandidates");
    auto at = top.items().begin();
    auto end = top.items().end();
    writer.object().key("content").array();
    for (Value token : result.find("chosenCandidates").items()) {
        entry(token);
        writer.key("top_logprobs").array();
        if (at != end) {
            for (Value other : (*at).find("candidates").items()) {
                entry(other);
                writer.end();
            }
            ++at;
        }
        writer.end().end();
    }
    writer.end().key("refusal").null().end();
    ir::StreamEvent told = event(to, EventKind::logprobs);
    told.raw = {arena_.copy(scratch_.view())};
    sink_->on_event(told);
}

}  // namespace llm::gemini
