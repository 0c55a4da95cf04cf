-- Takes records: keys, teams, users, customers and deletions.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  a name for these records, should there be none yet: it tells when Redis was flushed
--       2  what for:
--          hand_in   they hold where they come from: of each the later one is taken
--          change    all are taken, or none: when a key would get an alias that another one has, or
--                    when a record has changed since it was seen. Once, however often it is asked
--          withdraw  nobody was told that this change holds: unless another machine has built on it
--                    what was before it is back, and it is not taken any more should it come late
--          adopt     a worker ended on its way with this one, and nobody was told what became of it
--       3  the number of the change (change, withdraw); empty: it cannot come any more (withdraw)
--       4  1: where this comes from its version stands, and holds unless a newer one comes
--       then 4 for each record: its name, its version (microseconds), its JSON (empty: deleted; what was
--       before, of one that is withdrawn), the version that was here when it was made
-- Gives a number: they were taken; or a list: clash, stale, withdrawn or adopted, and what is here now,
-- 2 for each record: name, version:JSON.

local base, what, id = KEYS[1], ARGV[2], ARGV[3]
local data, log, gone, aliases = base .. ':data', base .. ':log', base .. ':gone', base .. ':aliases'
local known = base .. ':known'  -- numbers of changes that were made, with a - of those that must not be
local FIRST = 5
local WEEK = 7 * 86400 * 1000000
local KNOWN_SECONDS = 3600

-- Version and JSON of a record as it is here.
local function stored(name)
    local version, json = string.match(redis.call('HGET', data, name) or '', '^(%d+):(.*)$')
    return tonumber(version) or 0, json or ''
end

-- Of a key, unless another one has taken its place.
local function alias_of(name, json)
    if string.sub(name, 1, 4) ~= 'key:' or not string.find(json, '"key_alias":', 1, true) then
        return nil
    end
    local is_read, record = pcall(cjson.decode, json)
    return is_read and not record.replaced_by and record.key_alias or nil
end

-- Whether its alias would be another key's. Who has one is only believed when its record says so, too:
-- an older gateway may have changed that without telling who has the alias.
local function clashes(name, json, changed)
    local _, before = stored(name)
    local alias = alias_of(name, json)
    local owner = alias and alias ~= alias_of(name, before) and redis.call('HGET', aliases, alias)
    if not owner or owner == name then
        return false
    end
    local _, now = stored(owner)
    return alias_of(owner, changed[owner] or now) == alias
end

local is_changed = false

local function put(name, version, json)
    is_changed = true
    local _, old = stored(name)
    redis.call('HSET', data, name, string.format('%.0f', version) .. ':' .. json)
    redis.call('ZADD', log, redis.call('INCR', base .. ':count'), name)
    if json == '' then
        redis.call('ZADD', gone, version, name)
    else
        redis.call('ZREM', gone, name)
    end
    local former, alias = alias_of(name, old), alias_of(name, json)
    if former and former ~= alias and redis.call('HGET', aliases, former) == name then
        redis.call('HDEL', aliases, former)
    end
    if alias then
        redis.call('HSET', aliases, alias, name)
    end
end

local now = tonumber(redis.call('TIME')[1])

local function remember(number)
    redis.call('ZADD', known, now, number)
    redis.call('ZREMRANGEBYSCORE', known, '-inf', now - KNOWN_SECONDS)
end

-- What is here. It becomes newer than what was asked for where that stands, also when two machines
-- gave one version to two changes.
local function tell(word)
    local told = {word}
    for i = FIRST, #ARGV, 4 do
        local name, asked = ARGV[i], tonumber(ARGV[i + 1])
        local version, json = stored(name)
        local is_other = version < asked or (version == asked and json ~= ARGV[i + 2])
        if ARGV[4] == '1' and version > 0 and is_other then
            put(name, asked + 2, json)
        end
        told[#told + 1] = name
        told[#told + 1] = redis.call('HGET', data, name) or '0:'
    end
    return told
end

local function is_blocked(json)
    if not string.find(json, '"blocked":true', 1, true) then
        return false
    end
    local is_read, record = pcall(cjson.decode, json)
    return is_read and record.blocked == true
end

local function with_block(json)
    return string.sub(json, 1, -2) .. (#json > 2 and ',' or '') .. '"blocked":true}'
end

-- The later one holds. But of two changes that did not know of each other neither brings back what the
-- other one has deleted, or opens what that has blocked.
local function hand_in_one(name, version, json, base)
    local before, old = stored(name)
    local is_apart = before > 0 and before ~= version and before ~= base and base ~= version
    local later, other = json, old
    if version < before then
        later, other = old, json
    end
    if is_apart and later ~= '' and other == '' then
        put(name, math.max(version, before) + 2, '')
    elseif is_apart and later ~= '' and is_blocked(other) and not is_blocked(later) then
        put(name, math.max(version, before) + 2, with_block(later))
    elseif version > before then
        put(name, version, json)
    elseif version == before and json ~= old then
        put(name, version + 1, old)  -- of two machines that were away
    end
end

local function hand_in()
    for i = FIRST, #ARGV, 4 do
        hand_in_one(ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], tonumber(ARGV[i + 3]))
    end
    return 1
end

local function team_of(json)
    if not string.find(json, '"team_id":', 1, true) then
        return nil
    end
    local is_read, record = pcall(cjson.decode, json)
    return is_read and record.team_id and 'team:' .. record.team_id or nil
end

-- The name of a team that was deleted, and that a key would come to.
local function lost_team(changed)
    for name, json in pairs(changed) do
        local team = string.sub(name, 1, 4) == 'key:' and team_of(json)
        if team then
            local _, before = stored(name)
            local version, found = stored(team)
            if version > 0 and (changed[team] or found) == '' and team_of(before) ~= team then
                return team
            end
        end
    end
    return nil
end

local function change()
    if redis.call('ZSCORE', known, id) then
        return 1
    end
    local is_stale, is_clash, changed = redis.call('ZSCORE', known, '-' .. id), false, {}
    for i = FIRST, #ARGV, 4 do
        is_stale = is_stale or stored(ARGV[i]) > tonumber(ARGV[i + 3])
        changed[ARGV[i]] = ARGV[i + 2]
    end
    for name, json in pairs(changed) do
        is_clash = is_clash or clashes(name, json, changed)
    end
    local gone_team = lost_team(changed)
    if is_stale or is_clash or gone_team then
        local told = tell((is_stale or gone_team) and 'stale' or 'clash')
        told[#told + 1] = gone_team
        told[#told + 1] = gone_team and redis.call('HGET', data, gone_team)
        return told
    end
    for i = FIRST, #ARGV, 4 do
        put(ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2])
    end
    remember(id)
    return 1
end

local function withdraw()
    local changed = {}
    for i = FIRST, #ARGV, 4 do
        local version = tonumber(ARGV[i + 1])
        -- Another machine's may have the same version.
        local was_made = redis.call('ZSCORE', known, id) or now - version / 1000000 > KNOWN_SECONDS
        if id ~= '' and was_made and stored(ARGV[i]) == version then
            changed[ARGV[i]] = ARGV[i + 2]
        end
    end
    for i = FIRST, #ARGV, 4 do
        local name = ARGV[i]
        -- Another key may have got the alias that this one had before.
        if changed[name] and not clashes(name, changed[name], changed) then
            put(name, tonumber(ARGV[i + 1]) + 2, changed[name])
        end
    end
    if id ~= '' then
        remember('-' .. id)
    end
    return tell('withdrawn')
end

local function adopt()
    for i = FIRST, #ARGV, 4 do
        local name, version, json = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
        if stored(name) == 0 and json ~= '' then
            local is_clash = clashes(name, json, {})
            put(name, is_clash and version + 2 or version, is_clash and '' or json)
        end
    end
    return tell('adopted')
end

local result = ({hand_in = hand_in, change = change, withdraw = withdraw, adopt = adopt})[what]()
if not is_changed then
    return result
end
redis.call('SET', base .. ':epoch', ARGV[1], 'NX')

-- Deletions are remembered for a week: a machine that was away meanwhile still has the record.
local newest = 0
for i = FIRST, #ARGV, 4 do
    newest = math.max(newest, tonumber(ARGV[i + 1]))
end
local old = redis.call('ZRANGEBYSCORE', gone, '-inf', newest - WEEK, 'LIMIT', 0, 100)
for _, name in ipairs(old) do
    redis.call('HDEL', data, name)
    redis.call('ZREM', log, name)
    redis.call('ZREM', gone, name)
end
return result
