namespace Platform.Tests.Api.Fuzz;

/// <summary>Bodies that say, between them, everything the contract knows; what is made of them is up to <see cref="Mutations"/>.</summary>
internal static class GoodBodies
{
    public static readonly IReadOnlyList<JsonTree> Apps =
    [
        .. Directory.GetFiles(Path.Combine(Root(), "examples", "talk"), "app-*.json").Order(StringComparer.Ordinal).Select(f => JsonTree.Parse(File.ReadAllText(f))),
        .. Parsed(
            """{"id":"/f/a","cmd":"sleep 1"}""",
            """{"id":"/f/b","cmd":"serve","instances":2,"cpus":0.1,"mem":16,"ports":[0,10100],"env":{"A":"1","B":"x"},"labels":{"HAPROXY_0_VHOST":"a.example.com"},"uris":[],"storeUrls":[]}""",
            """
            {"id":"/f/c","args":["serve","--port","$PORT0"],"instances":1,"cpus":0.2,"mem":32,"disk":1,"user":"nobody","networks":[{"mode":"container/bridge"}],
             "container":{"type":"MESOS","docker":{"image":"demo","forcePullImage":false},"portMappings":[{"containerPort":80,"hostPort":0,"servicePort":10200,"protocol":"tcp,udp","name":"web","labels":{"x":"y"}}],
               "volumes":[{"containerPath":"/in","hostPath":"/tmp","mode":"RO"}]},
             "healthChecks":[{"protocol":"MESOS_HTTP","path":"/","portIndex":0,"gracePeriodSeconds":5,"intervalSeconds":1,"timeoutSeconds":1,"maxConsecutiveFailures":3,"ignoreHttp1xx":false},
               {"protocol":"COMMAND","command":{"value":"true"}},{"protocol":"TCP","port":80}],
             "upgradeStrategy":{"minimumHealthCapacity":0.5,"maximumOverCapacity":0.2},"dependencies":["/f/a","../e"]}
            """,
            """
            {"id":"/f/g/d","cmd":"serve","instances":1,"cpus":0.1,"mem":16,"constraints":[["hostname","UNIQUE"],["rack","GROUP_BY","2"],["@zone","LIKE","a|b"],["x","MAX_PER","1"],["y","IS","1"]],
             "backoffSeconds":1,"backoffFactor":1.5,"maxLaunchDelaySeconds":30,"taskKillGracePeriodSeconds":2,"killSelection":"OLDEST_FIRST","acceptedResourceRoles":["*"],"requirePorts":false,
             "portDefinitions":[{"port":0,"protocol":"tcp","name":"http","labels":{"VIP_0":"/x:80"}},{"port":10300}],"unreachableStrategy":{"inactiveAfterSeconds":1,"expungeAfterSeconds":5}}
            """,
            """
            {"id":"/e","cmd":"serve","cpus":0.1,"mem":16,"container":{"type":"DOCKER","docker":{"image":"demo","network":"BRIDGE","privileged":false,"parameters":[{"key":"hostname","value":"h"}],
               "portMappings":[{"containerPort":8000,"hostPort":0,"servicePort":0,"protocol":"tcp"}]}},"fetch":[{"uri":"http://127.0.0.1:1/a.tgz","extract":true,"executable":false,"cache":true,"destPath":"a"}],
             "readinessChecks":[{"name":"r","protocol":"HTTP","path":"/ready","portName":"http","intervalSeconds":1,"timeoutSeconds":1,"httpStatusCodesForReady":[200],"preserveLastResponse":true}]}
            """,
            """
            {"id":"/top","cmd":"serve","instances":1,"cpus":0.1,"mem":16,"residency":{"taskLostBehavior":"WAIT_FOREVER","relaunchEscalationTimeoutSeconds":3600},"secrets":{"s":{"source":"/x"}},
             "env":{"S":{"secret":"s"}},"container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":10,"type":"root","constraints":[]}}]}}
            """),
    ];

    public static readonly IReadOnlyList<JsonTree> Updates = Parsed(
        """{"instances":2}""", """{"instances":0}""", """{"cmd":"other","env":{"V":"2"}}""", """{"version":"2026-01-01T10:00:00.000Z"}""", """{"id":"/f/a","version":"2026-01-01T10:00:00.001Z"}""",
        """{"cpus":0.2,"mem":20,"labels":{"a":"b"}}""", """{"healthChecks":[{"protocol":"TCP","portIndex":0}]}""", """{"dependencies":["/f/b"]}""", """{"constraints":[["hostname","CLUSTER","node1"]]}""",
        """{"container":{"type":"DOCKER","docker":{"image":"other"}}}""", """{"cmd":null,"args":["x"]}""", """{"upgradeStrategy":{"minimumHealthCapacity":0}}""", "{}");

    public static readonly IReadOnlyList<JsonTree> Lists = Parsed(
        """[{"id":"/f/a","cmd":"x","instances":1,"cpus":0.1,"mem":16},{"id":"/f/b","cmd":"y","dependencies":["/f/a"],"cpus":0.1,"mem":16}]""", """[{"id":"/f/a","instances":2}]""", "[]");

    public static readonly IReadOnlyList<JsonTree> Groups = Parsed(
        """{"id":"/f","apps":[{"id":"a","cmd":"x","cpus":0.1,"mem":16},{"id":"/f/b","cmd":"y","cpus":0.1,"mem":16,"dependencies":["a"]}],"groups":[{"id":"g","apps":[{"id":"d","cmd":"z","cpus":0.1,"mem":16}],"dependencies":["/f/a"]}]}""",
        """{"scaleBy":2}""", """{"version":"2026-01-01T10:00:00.000Z"}""", """{"id":"/f/g","groups":[]}""", """{"enforceRole":true}""", """{"apps":[],"groups":[],"pods":[],"dependencies":[]}""");

    public static readonly IReadOnlyList<JsonTree> Pods = Parsed("""
        {"id":"/f/p","labels":{"a":"b"},"environment":{"A":"1"},"scaling":{"kind":"fixed","instances":1},"networks":[{"mode":"host"}],
         "containers":[{"name":"one","exec":{"command":{"shell":"sleep 9"}},"resources":{"cpus":0.1,"mem":16},"endpoints":[{"name":"web","hostPort":0,"containerPort":80,"protocol":["tcp"]}],
           "healthCheck":{"http":{"path":"/","endpoint":"web"}},"volumeMounts":[{"name":"v","mountPath":"/v"}]},{"name":"two","image":{"kind":"DOCKER","id":"demo"},"resources":{"cpus":0.1,"mem":16}}],
         "volumes":[{"name":"v"}],"scheduling":{"backoff":{"backoff":1,"backoffFactor":1.1,"maxLaunchDelay":9},"upgrade":{"minimumHealthCapacity":1,"maximumOverCapacity":1},"placement":{"constraints":[{"fieldName":"hostname","operator":"UNIQUE"}]}}}
        """);

    /// <summary>In the values of secrets and nowhere else: no answer may hold it.</summary>
    public const string SecretMark = "5ecret-7f3e";

    public static readonly IReadOnlyList<JsonTree> Secrets = Parsed($$"""{"value":"{{SecretMark}}"}""", $"\"{SecretMark}\"");

    public static readonly IReadOnlyList<JsonTree> Small = Parsed(
        """{"logger":"platform","level":"debug","durationSeconds":1}""", """{"callbackUrl":"http://127.0.0.1:1/e"}""", """{"ids":["x"]}""", "\"text\"", "7");

    public static IReadOnlyList<JsonTree> All { get; } = [.. Apps, .. Updates, .. Lists, .. Groups, .. Pods, .. Small];

    public static IReadOnlyList<JsonTree> Kills(string task) => [JsonTree.Parse($$"""{"ids":[{{System.Text.Json.JsonSerializer.Serialize(task)}}]}""")];

    private static JsonTree[] Parsed(params string[] texts) => [.. texts.Select(JsonTree.Parse)];

    private static string Root()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Platform.sln"))) folder = folder.Parent!;
        return folder.FullName;
    }
}
