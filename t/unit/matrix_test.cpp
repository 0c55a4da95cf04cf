// Every provider dialect against every client dialect: properties that hold whatever an answer
// says, on made-up answers, on the golden streams, and on streams that were tampered with. A new
// dialect takes part by its rows in dialects.def and in t/check/dialect_checks.def.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"
#include "t/check/scenario.hpp"
#include "t/check/stream_checks.hpp"

namespace llm::check {
namespace {

namespace fs = std::filesystem;

std::string report(const Problems &problems) {
    std::string all;
    for (const std::string &problem : problems) {
        all += problem + "\n";
    }
    return all;
}

TEST(MatrixRows, EveryDialectHasItsChecks) {
    for (const Dialect *known : dialects()) {
        const DialectCheck &row = check_of(known->id);
        EXPECT_TRUE(row.read_request != nullptr);
        EXPECT_EQ(known->is_client(), row.request_of != nullptr && row.read_stream != nullptr &&
                                          row.read_body != nullptr && row.finish_of != nullptr);
        EXPECT_EQ(known->is_provider(), row.fit != nullptr && row.stream_of != nullptr &&
                                            row.body_of != nullptr && row.check_rules != nullptr &&
                                            !row.aims.empty())
            << known->name;
    }
}

class Matrix : public testing::TestWithParam<DialectId> {};

INSTANTIATE_TEST_SUITE_P(Providers, Matrix, testing::ValuesIn(provider_dialects()),
                         [](const auto &at) { return std::string(dialect(at.param).name); });

TEST_P(Matrix, AnyCutGivesTheSameEventsAndAnyPairAGrammaticalStream) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        Problems problems;
        std::string stream = written_stream(random_scenario(GetParam(), seed));
        Answer answer = check_stream(GetParam(), stream,
                                     {.cut_bytes = 600u << 10, .truncations = 12}, problems);
        EXPECT_TRUE(answer.is_complete) << "seed " << seed;
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems) << stream;
    }
}

// A cut changes no byte of what the client gets either.
TEST_P(Matrix, EveryByteEveryPair) {
    for (uint64_t seed : {3, 8, 21}) {
        std::string stream = written_stream(random_scenario(GetParam(), seed));
        for (DialectId client : client_dialects()) {
            std::string whole = translate(GetParam(), client, stream);
            for (size_t cut = 0; cut <= stream.size(); cut++) {
                ASSERT_EQ(translate(GetParam(), client, stream, {cut}), whole)
                    << "seed " << seed << " cut at " << cut;
            }
        }
    }
}

TEST_P(Matrix, StreamAndWholeAnswerSayTheSame) {
    for (uint64_t seed = 100; seed <= 400; seed++) {
        Scenario scenario = random_scenario(GetParam(), seed);
        Problems problems;
        Answer whole;
        ASSERT_TRUE(check_whole(GetParam(), written_body(scenario), whole, problems));
        Answer streamed = decode(GetParam(), written_stream(scenario)).answer();
        compare_same(whole, streamed, problems);
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n"
                                      << report(problems) << written_body(scenario);
        for (DialectId client : client_dialects()) {
            Answer got = read_stream(
                client, translate(GetParam(), client, written_stream(scenario)), problems);
            compare_with_client(whole, got, client, problems);
        }
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems);
    }
}

// Frames lost, doubled, swapped, or taken from another answer: a client never sees an illegal
// stream, and learns of the error in exactly one frame if there is one.
TEST_P(Matrix, TamperedStreamsStayGrammatical) {
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        Chance chance(seed);
        std::string stream = written_stream(random_scenario(GetParam(), seed % 50));
        std::string other = written_stream(random_scenario(GetParam(), seed % 37 + 50));
        std::vector<std::string> frames;
        for (const std::string *from : {&stream, &other}) {
            size_t at = 0;
            for (size_t end : frame_ends(GetParam(), *from)) {
                frames.push_back(from->substr(at, end - at));
                at = end;
            }
        }
        size_t own = frame_ends(GetParam(), stream).size();
        std::string tampered;
        for (size_t i = 0; i < own; i++) {
            size_t taken = chance.one_in(12) ? chance.below(frames.size()) : i;
            if (chance.one_in(12)) {
                continue;
            }
            tampered += frames[taken];
            tampered += chance.one_in(12) ? frames[i] : "";
        }
        size_t cut = chance.one_in(4) ? chance.below(9) : 0;
        tampered.resize(tampered.size() - std::min(cut, tampered.size()));

        EventLog log = decode(GetParam(), tampered);
        Problems problems = log.problems();
        Answer answer = log.answer();
        EXPECT_NE(answer.is_complete, answer.has_error);
        for (DialectId client : client_dialects()) {
            Answer got = read_stream(client, translate(GetParam(), client, tampered), problems);
            compare_with_client(answer, got, client, problems);
        }
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems) << tampered;
    }
}

TEST_P(Matrix, RandomBytesEndInOneError) {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        Chance chance(seed);
        std::string stream = written_stream(random_scenario(GetParam(), seed));
        for (size_t i = 0; i <= chance.below(6); i++) {
            stream[chance.below(stream.size())] = char(chance.below(256));
        }
        EventLog log = decode(GetParam(), stream);
        Problems problems = log.problems();
        EXPECT_NE(log.answer().is_complete, log.answer().has_error) << "seed " << seed;
        for (DialectId client : client_dialects()) {
            (void)read_stream(client, translate(GetParam(), client, stream), problems);
        }
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems) << stream;
    }
}

// --- encoders alone ---------------------------------------------------------------------------

// Events of blocks that overlap in any way, as no decoder may ever send them today.
class WildEvents {
  public:
    explicit WildEvents(uint64_t seed) : chance_(seed) {}

    void play(ir::EventSink &sink) {
        event(ir::EventKind::start);
        event_.id = {"answer-1"};
        event_.name = {"model-1"};
        sink.on_event(event_);
        std::vector<uint32_t> open;
        uint32_t next = 0;
        for (size_t steps = chance_.below(60); steps > 0; steps--) {
            if (open.empty() || chance_.one_in(5)) {
                open_block(next, sink);
                open.push_back(next++);
            } else if (chance_.one_in(4)) {
                size_t which = chance_.below(open.size());
                event(ir::EventKind::close);
                event_.block = open[which];
                sink.on_event(event_);
                open.erase(open.begin() + ptrdiff_t(which));
            } else if (chance_.one_in(12)) {
                event(chance_.one_in(2) ? ir::EventKind::ping : ir::EventKind::usage);
                event_.usage = event_.kind == ir::EventKind::usage ? &usage_ : nullptr;
                sink.on_event(event_);
            } else {
                event(ir::EventKind::delta);
                event_.block = open[chance_.below(open.size())];
                event_.text = {"x\\u00e9"};
                sink.on_event(event_);
            }
        }
        if (chance_.one_in(3)) {
            event(ir::EventKind::error);
            event_.text = {"broken"};
            sink.on_event(event_);
        } else {
            for (uint32_t block : open) {
                event(ir::EventKind::close);
                event_.block = block;
                sink.on_event(event_);
            }
            event(ir::EventKind::finish);
            event_.finish = ir::Finish(chance_.below(9));
            sink.on_event(event_);
            event(ir::EventKind::end);
            sink.on_event(event_);
        }
        // What comes behind the end is ignored.
        event(ir::EventKind::delta);
        event_.text = {"late"};
        sink.on_event(event_);
        event(ir::EventKind::end);
        sink.on_event(event_);
    }

  private:
    void event(ir::EventKind kind) {
        event_ = {};
        event_.kind = kind;
    }

    void open_block(uint32_t number, ir::EventSink &sink) {
        constexpr ir::BlockKind kKinds[] = {ir::BlockKind::text, ir::BlockKind::reasoning,
                                            ir::BlockKind::tool, ir::BlockKind::refusal};
        event(ir::EventKind::open);
        event_.block = number;
        event_.block_kind = kKinds[chance_.below(4)];
        if (event_.block_kind == ir::BlockKind::tool) {
            id_ = "call_" + std::to_string(number);
            event_.id = {id_};
            event_.name = {"tool"};
        }
        sink.on_event(event_);
    }

    Chance chance_;
    ir::StreamEvent event_;
    std::string id_;
    Usage usage_ = {.input = 5, .output = 3, .known = true};
};

TEST(MatrixEncoders, AnyOrderOfEventsGivesAGrammaticalStream) {
    struct Both final : ir::EventSink {
        void on_event(const ir::StreamEvent &event) override { encoder->event(event, out); }
        std::unique_ptr<Encoder> encoder;
        ByteBuffer out;
    };
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        for (DialectId client : client_dialects()) {
            FixedIds ids;
            Both sink;
            sink.encoder = dialect(client).make_encoder(full_view(ids));
            WildEvents(seed).play(sink);
            ByteBuffer late;
            sink.encoder->error(ApiError{}, late);
            EXPECT_EQ(late.view(), "") << "an error behind the end";
            Problems problems;
            Answer answer = read_stream(client, sink.out.view(), problems);
            EXPECT_NE(answer.is_complete, answer.has_error);
            ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n"
                                          << report(problems) << sink.out.view();
        }
    }
}

// --- golden streams ---------------------------------------------------------------------------

TEST(MatrixGolden, EveryGoldenStreamHasTheProperties) {
    const char *given = getenv("GOLDEN_DIR");
    size_t found = 0;
    std::error_code failed;
    for (const auto &entry : fs::recursive_directory_iterator(
             fs::path(given != nullptr ? given : "t/golden") / "stream", failed)) {
        std::string name = entry.path().filename().string();
        if (!name.starts_with("input.")) {
            continue;
        }
        found++;
        std::ifstream file(entry.path(), std::ios::binary);
        std::stringstream text;
        text << file.rdbuf();
        Problems problems;
        check_stream(find_dialect(name.substr(6, name.rfind('.') - 6))->id,
                     stream_bytes(name, text.str()), {.cut_bytes = 2u << 20, .truncations = 40},
                     problems);
        EXPECT_TRUE(problems.empty()) << entry.path() << "\n" << report(problems);
    }
    EXPECT_GT(found, 30u);
}

}  // namespace
}  // namespace llm::check
