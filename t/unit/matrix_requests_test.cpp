// Requests of every client dialect for every provider dialect: what is rendered obeys the rules of
// the target's API, says what the client said, and is a fixed point of its own dialect;
// pass-through changes nothing but the model and stream_options.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"
#include "t/check/request_checks.hpp"
#include "t/check/scenario.hpp"

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

std::string conversation(DialectId client, uint64_t seed) {
    Chance chance(seed);
    return check_of(client).request_of(random_ask(seed), chance);
}

class MatrixRequests : public testing::TestWithParam<DialectId> {};

INSTANTIATE_TEST_SUITE_P(Clients, MatrixRequests, testing::ValuesIn(client_dialects()),
                         [](const auto &at) { return std::string(dialect(at.param).name); });

TEST_P(MatrixRequests, ConversationsKeepToTheRulesOfEveryTarget) {
    for (uint64_t seed = 1; seed <= 400; seed++) {
        std::string body = conversation(GetParam(), seed);
        Problems problems;
        RequestReport told;
        std::string why;
        ASSERT_TRUE(check_request(GetParam(), body, told, why, problems)) << why << "\n" << body;
        EXPECT_GE(told.rendered, aims().size()) << body;
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems) << body;
    }
}

TEST_P(MatrixRequests, Case45_SpliceChangesOnlyWhatItMust) {
    for (uint64_t seed = 1; seed <= 400; seed++) {
        std::string body = conversation(GetParam(), seed);
        Problems problems;
        check_splice(GetParam(), body, problems);
        ASSERT_TRUE(problems.empty()) << "seed " << seed << "\n" << report(problems) << body;
    }
}

// As Codex has it: a call with a text in place of arguments.
TEST(MatrixRequestsOf, ACodexHistoryWithACallOfAFreeTextTool) {
    const std::string body =
        R"({"model":"m","store":false,"include":["reasoning.encrypted_content"],)"
        R"("tools":[{"type":"custom","name":"apply_patch","description":"p","format":)"
        R"({"type":"grammar","syntax":"lark","definition":"start: /x/"}}],)"
        R"("input":[{"role":"user","content":"q"},{"type":"custom_tool_call","id":"ctc_1",)"
        R"("call_id":"call_B","name":"apply_patch","input":"*** Begin \"x\"\n"},)"
        R"({"type":"custom_tool_call_output","call_id":"call_B","output":"ok"}]})";
    Problems problems;
    RequestReport told;
    std::string why;
    ASSERT_TRUE(check_request(DialectId::responses, body, told, why, problems)) << why;
    EXPECT_GE(told.rendered, aims().size());
    EXPECT_TRUE(problems.empty()) << report(problems);
}

TEST(MatrixSplice, OddBodies) {
    const std::string hi = R"("messages":[{"role":"user","content":"hi"}],"max_tokens":9)";
    const std::string bodies[] = {
        R"({"model":"m",)" + hi + R"(,"stream":true})",
        " {" + hi + ",\n \"model\"\t:\r\n \"\\u006d\\\"\" , \"stream\" : true } ",
        R"({"stream":true,"stream_options":null,"model":"m",)" + hi + "}",
        R"({"stream":true,"stream_options":{},"model":"m",)" + hi + "}",
        R"({"stream":true,"stream_options":{"include_usage":false,"x":1},"model":"m",)" + hi + "}",
        R"({"stream":true,"stream_options":{"include_usage":true},"model":"m",)" + hi + "}",
        R"({"stream":false,"model":"m","x":{"model":"inner","stream":true},)" + hi + "}",
        R"({"messages":[{"role":"user","content":"\"model\":\"no\""}],"model":"m"})",
    };
    for (DialectId id : {DialectId::openai, DialectId::anthropic}) {
        for (const std::string &body : bodies) {
            Problems problems;
            check_splice(id, body, problems);
            EXPECT_TRUE(problems.empty()) << report(problems) << body;
        }
    }
}

TEST(MatrixGoldenRequests, EveryGoldenRequestKeepsToTheRules) {
    const char *given = getenv("GOLDEN_DIR");
    size_t found = 0;
    std::error_code failed;
    for (const auto &entry : fs::recursive_directory_iterator(
             fs::path(given != nullptr ? given : "t/golden") / "request", failed)) {
        std::string name = entry.path().filename().string();
        if (!name.starts_with("input.")) {
            continue;
        }
        std::ifstream file(entry.path(), std::ios::binary);
        std::stringstream text;
        text << file.rdbuf();
        Problems problems;
        RequestReport told;
        std::string why;
        bool is_request = check_request(find_dialect(name.substr(6, name.rfind('.') - 6))->id,
                                        text.str(), told, why, problems);
        found += is_request ? 1 : 0;
        EXPECT_EQ(is_request, !fs::exists(entry.path().parent_path() / "to.nobody.json")) << name;
        EXPECT_TRUE(problems.empty()) << entry.path() << "\n" << report(problems);
    }
    EXPECT_GT(found, 50u);
}

}  // namespace
}  // namespace llm::check
