// A stream costs no allocation per event once its buffers have grown: every provider's dialect
// against every client's. The sanitizer's allocator tells of each allocation, so that nothing has
// to be replaced.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"
#include "t/check/scenario.hpp"

// Of the sanitizer's run time; not every compiler brings the header.
extern "C" int __sanitizer_install_malloc_and_free_hooks(
    void (*on_allocation)(const volatile void *, size_t), void (*on_free)(const volatile void *));

namespace llm::check {
namespace {

using Kind = Scenario::Block::Kind;

size_t allocations = 0;

void count_allocation(const volatile void *, size_t) {
    allocations++;
}

void ignore_free(const volatile void *) {}

// Hooks cannot be taken away again; there is room for a few only.
void install_counter() {
    static const int slot =
        __sanitizer_install_malloc_and_free_hooks(count_allocation, ignore_free);
    ASSERT_NE(slot, 0);
}

class Translation final : public ir::EventSink {
  public:
    Translation(DialectId provider, DialectId client)
        : decoder_(dialect(provider).make_decoder()),
          encoder_(dialect(client).make_encoder(full_view(ids_))) {}

    // As nginx does it: one output buffer, sent and emptied behind every read.
    void feed(std::string_view bytes) {
        out_.clear();
        decoder_->feed(bytes, *this);
        written_ += out_.size();
    }
    void finish() { decoder_->finish(*this); }
    void on_event(const ir::StreamEvent &event) override {
        has_ended_ = has_ended_ || event.kind == ir::EventKind::end;
        encoder_->event(event, out_);
    }

    size_t written() const { return written_; }
    bool has_ended() const { return has_ended_; }

  private:
    FixedIds ids_;
    ByteBuffer out_;
    std::unique_ptr<Decoder> decoder_;
    std::unique_ptr<Encoder> encoder_;
    size_t written_ = 0;
    bool has_ended_ = false;
};

// An answer of one long block, sent in some thousand small pieces.
Scenario long_scenario(DialectId provider, Kind kind) {
    Scenario made;
    made.dialect = provider;
    made.seed = 2;
    made.input = 100;
    made.output = 9000;
    Chance chance(7);
    std::string text = random_text(chance, 4000);
    if (kind == Kind::call) {
        ByteBuffer arguments;
        json::Writer(arguments).object().key("text").plain(text).end();
        made.blocks.push_back({kind, std::string(arguments.view()), "call_1", "look", {}});
        made.finish = ir::Finish::tool_calls;
    } else {
        made.blocks.push_back({kind, text, {}, {}, kind == Kind::reasoning ? "c2ln" : ""});
        if (kind == Kind::reasoning) {
            made.blocks.push_back({Kind::text, "done", {}, {}, {}});
        }
    }
    check_of(provider).fit(made, chance);
    return made;
}

struct Counted {
    size_t events = 0;       // in the steady state
    size_t allocations = 0;  // during them
};

// The first third of the stream lets the buffers grow, the last events (of another kind) do not
// count either.
Counted count(DialectId provider, DialectId client, const std::string &stream) {
    std::vector<size_t> ends = frame_ends(provider, stream);
    std::string padded = stream + std::string(json::kPadding, ' ');
    Translation translation(provider, client);
    Counted counted;
    size_t from = 0;
    for (size_t i = 0; i < ends.size(); i++) {
        size_t before = allocations;
        size_t written = translation.written();
        translation.feed({padded.data() + from, ends[i] - from});
        if (i >= ends.size() / 3 && i + 20 < ends.size() && translation.written() != written) {
            counted.events++;
            counted.allocations += allocations - before;
        }
        from = ends[i];
    }
    translation.finish();
    EXPECT_TRUE(translation.has_ended());
    return counted;
}

class Allocations : public testing::TestWithParam<DialectId> {
  protected:
    void expect_none(Kind kind) {
        install_counter();
        std::string stream = written_stream(long_scenario(GetParam(), kind));
        for (DialectId client : client_dialects()) {
            Counted counted = count(GetParam(), client, stream);
            if (counted.events < 500) {
                continue;  // one of the two has it in one piece, or not at all
            }
            pairs_++;
            // What repeats the whole text at its end (Responses) or tells where a sentence stands
            // in it (Gemini) holds it: that grows geometrically.
            EXPECT_LE(counted.allocations, size_t{4})
                << dialect(GetParam()).name << " to " << dialect(client).name << ", "
                << counted.events << " events";
        }
    }
    size_t pairs_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Providers, Allocations, testing::ValuesIn(provider_dialects()),
                         [](const auto &at) { return std::string(dialect(at.param).name); });

TEST_P(Allocations, NoneForAnEventOfText) {
    expect_none(Kind::text);
    EXPECT_EQ(pairs_, client_dialects().size());
}

TEST_P(Allocations, NoneForAnEventOfReasoning) {
    expect_none(Kind::reasoning);
}

TEST_P(Allocations, NoneForAnEventOfArguments) {
    expect_none(Kind::call);
}

}  // namespace
}  // namespace llm::check
