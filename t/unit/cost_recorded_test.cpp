// What answers cost whose usage real providers sent, against sums done by hand: tokens times the
// price of one in nano-dollars, each part in the comment of its row. A nano-dollar is 1e-9.
#include <gtest/gtest.h>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/bedrock.hpp"
#include "translators/dialect/gemini.hpp"
#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/responses_answer.hpp"
#include "translators/dialect/unread_usage.hpp"
#include "translators/pricing/cost.hpp"
#include "translators/pricing/price_table.hpp"

namespace llm {
namespace {

enum class Form { chat, responses, messages, gemini, bedrock };

struct Recorded {
    const char *name;
    Form form;
    const char *preset;
    const char *model;
    const char *usage;
    int64_t nano;
};

constexpr Recorded kRecorded[] = {
    // 140 x 2500 + 1280 x 1250 + 100 x 10000
    {"chat, mostly cached", Form::chat, "openai", "gpt-4o",
     R"({"prompt_tokens":1420,"completion_tokens":100,"total_tokens":1520,
         "prompt_tokens_details":{"cached_tokens":1280,"audio_tokens":0},
         "completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}})",
     2950000},
    // 364 x 2500 + 40 x 10000
    {"chat, nothing cached", Form::chat, "openai", "gpt-4o",
     R"({"prompt_tokens":364,"completion_tokens":40,"total_tokens":404,
         "prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0}})",
     1310000},
    // 156 x 2000 + 820 x 8000: the 768 are in the 820
    {"chat, reasoning", Form::chat, "openai", "o3",
     R"({"prompt_tokens":156,"completion_tokens":820,"total_tokens":976,
         "prompt_tokens_details":{"cached_tokens":0},
         "completion_tokens_details":{"reasoning_tokens":768}})",
     6872000},
    // 1143 x 1250 + 8320 x 125 + 582 x 10000
    {"responses, cached and reasoning", Form::responses, "openai", "gpt-5",
     R"({"input_tokens":9463,"input_tokens_details":{"cached_tokens":8320},"output_tokens":582,
         "output_tokens_details":{"reasoning_tokens":512},"total_tokens":10045})",
     8288750},
    // 3 x 3000 + 9511 x 300 + 1956 x 3750 + 44 x 15000
    {"messages, cache read and written", Form::messages, "anthropic", "claude-sonnet-4-5",
     R"({"cache_creation":{"ephemeral_1h_input_tokens":0,"ephemeral_5m_input_tokens":1956},
         "cache_creation_input_tokens":1956,"cache_read_input_tokens":9511,"input_tokens":3,
         "output_tokens":44})",
     10857300},
    // 4 x 3000 + 14210 x 300 + 426 x 3750 + 290 x 15000
    {"messages, thinking", Form::messages, "anthropic", "claude-sonnet-4-5",
     R"({"cache_creation":{"ephemeral_1h_input_tokens":0,"ephemeral_5m_input_tokens":426},
         "cache_creation_input_tokens":426,"cache_read_input_tokens":14210,"input_tokens":4,
         "output_tokens":290,"output_tokens_details":{"thinking_tokens":15}})",
     10222500},
    // 4 x 3000 + 14210 x 300 + 426 x 6000 + 290 x 15000
    {"messages, written for an hour", Form::messages, "anthropic", "claude-sonnet-4-5",
     R"({"cache_creation":{"ephemeral_1h_input_tokens":426,"ephemeral_5m_input_tokens":0},
         "cache_creation_input_tokens":426,"cache_read_input_tokens":14210,"input_tokens":4,
         "output_tokens":290})",
     11181000},
    // 11 x 1000 + 1031 x 100 + 1 x 5000
    {"messages, a small model", Form::messages, "anthropic", "claude-haiku-4-5",
     R"({"input_tokens":11,"cache_creation_input_tokens":0,"cache_read_input_tokens":1031,
         "output_tokens":1,"service_tier":"standard"})",
     119100},
    // 869 x 3000 + 119 x 15000
    {"messages, no cache", Form::messages, "anthropic", "claude-sonnet-4-5",
     R"({"input_tokens":869,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,
         "output_tokens":119})",
     4392000},
    // 8050 x 3000 + 771 x 15000 + 2 searches of a cent
    {"messages, searches of the provider", Form::messages, "anthropic", "claude-sonnet-4-5",
     R"({"input_tokens":8050,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,
         "output_tokens":771,"server_tool_use":{"web_search_requests":2,"web_fetch_requests":0}})",
     55715000},
    // 57 x 300 + (10 + 42) x 2500
    {"Gemini, thoughts", Form::gemini, "gemini", "gemini-2.5-flash",
     R"({"promptTokenCount":57,"candidatesTokenCount":10,"totalTokenCount":109,
         "thoughtsTokenCount":42})",
     147100},
    // 31 x 1250 + (684 + 1026) x 10000
    {"Gemini, many thoughts", Form::gemini, "gemini", "gemini-2.5-pro",
     R"({"promptTokenCount":31,"candidatesTokenCount":684,"totalTokenCount":1741,
         "thoughtsTokenCount":1026})",
     17138750},
    // (147 + 360) x 300 + (108 + 168) x 2500
    {"Gemini, a tool's prompt", Form::gemini, "gemini", "gemini-2.5-flash",
     R"({"promptTokenCount":147,"candidatesTokenCount":108,"totalTokenCount":783,
         "toolUsePromptTokenCount":360,"thoughtsTokenCount":168})",
     842100},
    // 272 x 300 + (74 + 1114) x 2500
    {"Gemini, an image", Form::gemini, "gemini", "gemini-2.5-flash",
     R"({"promptTokenCount":272,"candidatesTokenCount":74,"totalTokenCount":1460,
         "promptTokensDetails":[{"modality":"TEXT","tokenCount":14},
         {"modality":"IMAGE","tokenCount":258}],"thoughtsTokenCount":1114})",
     3051600},
    // 3 x 3000 + 1712 x 300 + 236 x 3750 + 121 x 15000
    {"Bedrock, cache read and written", Form::bedrock, "bedrock",
     "anthropic.claude-sonnet-4-5-20250929-v1:0",
     R"({"cacheDetails":[{"inputTokens":236,"ttl":"5m"}],"cacheReadInputTokens":1712,
         "cacheWriteInputTokens":236,"inputTokens":3,"outputTokens":121,"totalTokens":2072})",
     3222600},
    // 67 x 60 + 47 x 240
    {"Bedrock, no cache", Form::bedrock, "bedrock", "amazon.nova-lite-v1:0",
     R"({"cacheReadInputTokens":0,"cacheWriteInputTokens":0,"inputTokens":67,"outputTokens":47,
         "totalTokens":114})",
     15300},
    // 358 x 60 + 574 x 240
    {"Bedrock, a long answer", Form::bedrock, "bedrock", "amazon.nova-lite-v1:0",
     R"({"inputTokens":358,"outputTokens":574,"serverToolUsage":{},"totalTokens":932})", 159240},
};

Usage read(const Recorded &recorded, json::Value usage) {
    Usage read;
    anthropic::RawUsage messages;
    gemini::RawUsage counts;
    switch (recorded.form) {
        case Form::chat:
            openai::read_usage(usage, read);
            break;
        case Form::responses:
            responses::read_usage(usage, read);
            break;
        case Form::messages:
            messages.merge(usage);
            read = messages.to_usage();
            break;
        case Form::gemini:
            counts.merge(usage);
            read = counts.to_usage();
            break;
        case Form::bedrock:
            bedrock::read_usage(usage, read);
            break;
    }
    return read;
}

TEST(RecordedCost, EqualsTheSumDoneByHand) {
    json::Reader reader;
    for (const Recorded &recorded : kRecorded) {
        Result<json::Value> usage = reader.parse_unpadded(recorded.usage);
        ASSERT_TRUE(usage) << recorded.name;
        Price price = find_price({recorded.preset, {}, recorded.model});
        ASSERT_TRUE(price.is_known()) << recorded.name;
        EXPECT_EQ(cost_of(read(recorded, *usage), price), recorded.nano) << recorded.name;
    }
}

// The same counts found in an answer that nobody reads, cut at every byte.
TEST(RecordedCost, Case52TheSameWhenItIsForwardedUnread) {
    for (const Recorded &recorded : kRecorded) {
        std::string name = recorded.form == Form::gemini ? "usageMetadata" : "usage";
        std::string text =
            "data: {\"id\":\"a \\\"usage\\\":{\\\"prompt_tokens\\\":7}\",\"model\" : "
            "\"the-model\",\"" +
            name + "\" :" + recorded.usage + ",\"x\":null}\n\n";
        Price price = find_price({recorded.preset, {}, recorded.model});
        for (size_t cut = 0; cut <= text.size(); cut++) {
            UnreadUsage found(false);
            std::string first = text.substr(0, cut), second = text.substr(cut);
            first.reserve(first.size() + json::kPadding);
            second.reserve(second.size() + json::kPadding);
            found.feed(first);
            found.feed(second);
            ASSERT_TRUE(found.usage().known) << recorded.name << " at " << cut;
            ASSERT_EQ(cost_of(found.usage(), price), recorded.nano) << recorded.name << " " << cut;
            ASSERT_EQ(found.model(), "the-model") << recorded.name << " at " << cut;
        }
    }
}

TEST(RecordedCost, UnreadAnswersOfAnySizeTakeLittleMemory) {
    UnreadUsage found(false);
    std::string piece = "\"usage\":{\"x\":\"" + std::string(4000, 'a');
    for (int i = 0; i < 1000; i++) {
        found.feed(piece);
    }
    EXPECT_FALSE(found.usage().known);
    EXPECT_LT(found.memory(), 64u * 1024);
}

}  // namespace
}  // namespace llm
