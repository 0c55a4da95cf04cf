// An answer of Gemini as events: what the decoder of streams and the parser of whole bodies share.
// A stream is a sequence of the same objects as a body, so both come to the same blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "translators/dialect/gemini.hpp"
#include "translators/dialect/gemini_partial.hpp"

namespace llm::gemini {

// Where the characters of a text begin: the API counts bytes in citations, others code points.
// Nothing is kept while all of the text is ASCII.
class TextMap {
  public:
    void clear();
    void add(JsonText fragment);
    // Code points before this byte; -1 when the text has no such byte or was too long to map.
    int64_t code_points_at(int64_t byte) const;
    size_t memory() const { return inner_.capacity() * sizeof(uint64_t); }

  private:
    void add_code(uint32_t code);

    std::vector<uint64_t> inner_;  // one bit a byte: set for all but the first of a character
    int64_t size_ = 0;
};

class AnswerReader {
  public:
    // Texts that are made go to `arena`; it may be reset between objects.
    explicit AnswerReader(Arena &arena) : arena_(arena) {}

    // One object of a stream, or a body. False when it breaks a limit or makes no sense; see
    // failure().
    bool read(json::Value object, ir::EventSink &sink);
    // Every candidate (and at least one) has its finish reason, or the prompt was blocked.
    bool is_finished() const;
    bool has_candidates() const { return !candidates_.empty(); }
    bool is_started() const { return is_started_; }
    // Closes what is open, then usage and one finish for each candidate.
    void complete(ir::EventSink &sink);
    void report_usage(ir::EventSink &sink);
    std::string_view failure() const { return failure_; }
    size_t memory() const;

  private:
    static constexpr uint32_t kNoBlock = UINT32_MAX;

    struct Candidate {
        uint32_t index = 0;
        uint32_t block = kNoBlock;
        ir::BlockKind kind = ir::BlockKind::text;
        bool is_finished = false;
        bool is_blocked = false;
        bool has_calls = false;
        JsonText behind;      // signature of the open text, until the object's end
        std::string pending;  // signature that waits for the next call, or the end
        std::string native;
        std::string grounding;  // the latest metadata, until the text ends
        std::string recitation;
        TextMap map;
        std::unique_ptr<PartialArguments> partial;
        bool in_partial = false;
    };

    bool fail(std::string_view what);
    void start(json::Value object);
    Candidate *candidate_of(json::Value candidate);
    bool on_candidate(json::Value candidate);
    bool on_part(Candidate &to, json::Value part);
    void on_text(Candidate &to, json::Value part, JsonText text, JsonText signature);
    bool on_call(Candidate &to, json::Value call, JsonText signature);
    void on_opaque(Candidate &to, json::Value part);
    void open_call(Candidate &to, json::Value call, JsonText signature);
    bool is_new_id(JsonText id);
    void end_partial(Candidate &to);
    void logprobs(const Candidate &to, json::Value result);

    void ensure(Candidate &to, ir::BlockKind kind);
    void close(Candidate &to);
    void sign(Candidate &to, JsonText signature);
    void flush_behind(Candidate &to);
    void keep_citations(Candidate &to, json::Value candidate);
    void cite(Candidate &to);
    void cite_grounding(const Candidate &to, json::Value metadata);
    ir::StreamEvent event(const Candidate &to, ir::EventKind kind) const;

    Arena &arena_;
    ir::EventSink *sink_ = nullptr;
    json::Reader reader_;
    std::vector<Candidate> candidates_;
    std::string id_;
    RawUsage usage_;
    ByteBuffer scratch_;
    std::string_view failure_;
    uint32_t next_block_ = 0;
    std::vector<size_t> ids_;  // hashes of the ids of calls so far
    uint32_t calls_ = 0;
    bool is_started_ = false;
};

}  // namespace llm::gemini
